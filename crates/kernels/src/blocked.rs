//! The blocked layout `[n, c/b, h, w, b]` in which activations pass between kernels, and its conversions: channels in blocks
//! of `b` = 8 or 16, the lanes of one vector.
//!
//! Channels come in *groups* (the four nodes a cell concatenates), each padded to whole blocks with
//! zero channels, so that a node's planes are contiguous whatever the channel count.

use crate::error::{KernelError, check};

/// Channels in a block of the narrow width, the only one that convolutions in place and NAS-Bench-201's cells know.
pub(crate) const LANES: usize = Width::Eight.lanes();

/// Most channels in a block.
pub(crate) const MAX_LANES: usize = Width::Sixteen.lanes();

/// Channels in a block. All activations of a network have the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Width {
    /// The lanes of 256-bit vectors.
    #[default]
    Eight,
    /// The lanes of 512-bit vectors.
    Sixteen,
}

impl Width {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Eight, Self::Sixteen];

    /// Their number.
    #[must_use]
    pub const fn lanes(self) -> usize {
        match self {
            Self::Eight => 8,
            Self::Sixteen => 16,
        }
    }
}

/// Channels of an activation: `groups` times `per_group`, each group padded to whole blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Number of concatenated groups.
    pub groups: usize,
    /// Real channels in each group.
    pub per_group: usize,
    /// Channels in a block.
    pub width: Width,
}

impl Channels {
    /// One group of `channels`, in blocks of eight.
    #[must_use]
    pub const fn new(channels: usize) -> Self {
        Self::grouped(1, channels)
    }

    /// So many groups of `per_group`, in blocks of eight.
    #[must_use]
    pub const fn grouped(groups: usize, per_group: usize) -> Self {
        Self { groups, per_group, width: Width::Eight }
    }

    /// The same channels in blocks of another width.
    #[must_use]
    pub const fn in_blocks_of(self, width: Width) -> Self {
        Self { width, ..self }
    }

    /// Channels in a block.
    #[must_use]
    pub const fn lanes(self) -> usize {
        self.width.lanes()
    }

    /// Real channels in all.
    #[must_use]
    pub const fn real(self) -> usize {
        self.groups * self.per_group
    }

    /// Blocks in all.
    #[must_use]
    pub const fn blocks(self) -> usize {
        self.groups * self.per_group.div_ceil(self.lanes())
    }

    /// Channels after padding.
    #[must_use]
    pub const fn padded(self) -> usize {
        self.blocks() * self.lanes()
    }

    /// The real channel at a padded position, or `None` for padding.
    #[must_use]
    pub const fn at(self, padded: usize) -> Option<usize> {
        let width = self.per_group.next_multiple_of(self.lanes());
        let (group, lane) = (padded / width, padded % width);
        if lane < self.per_group { Some(group * self.per_group + lane) } else { None }
    }
}

/// Length of a blocked activation `[n, blocks, h, w, b]`.
#[must_use]
pub const fn blocked_len(n: usize, channels: Channels, [h, w]: [usize; 2]) -> usize {
    n * channels.padded() * h * w
}

/// Copies `[n, c, h, w]` into `[n, c/b, h, w, b]`; padding channels become zero.
///
/// # Errors
/// [`KernelError::Length`] if either slice does not fit `n`, `channels` and `size`.
pub fn to_blocked(
    n: usize,
    channels: Channels,
    size: [usize; 2],
    nchw: &[f32],
    blocked: &mut [f32],
) -> Result<(), KernelError> {
    let (area, lanes) = (size[0] * size[1], channels.lanes());
    check("nchw activation", n * channels.real() * area, nchw.len())?;
    check("blocked activation", blocked_len(n, channels, size), blocked.len())?;
    if area == 0 || channels.real() == 0 {
        return Ok(());
    }
    let images = nchw.chunks_exact(channels.real() * area);
    for (from, to) in images.zip(blocked.chunks_exact_mut(channels.padded() * area)) {
        for (block, plane) in to.chunks_exact_mut(area * lanes).enumerate() {
            for lane in 0..lanes {
                let source = channels.at(block * lanes + lane).map(|c| &from[c * area..][..area]);
                for pixel in 0..area {
                    plane[pixel * lanes + lane] = source.map_or(0.0, |s| s[pixel]);
                }
            }
        }
    }
    Ok(())
}

/// Copies `[n, c/b, h, w, b]` into `[n, c, h, w]`, dropping padding channels.
///
/// # Errors
/// [`KernelError::Length`] if either slice does not fit `n`, `channels` and `size`.
pub fn from_blocked(
    n: usize,
    channels: Channels,
    size: [usize; 2],
    blocked: &[f32],
    nchw: &mut [f32],
) -> Result<(), KernelError> {
    let (area, lanes) = (size[0] * size[1], channels.lanes());
    check("blocked activation", blocked_len(n, channels, size), blocked.len())?;
    check("nchw activation", n * channels.real() * area, nchw.len())?;
    if area == 0 || channels.real() == 0 {
        return Ok(());
    }
    let images = blocked.chunks_exact(channels.padded() * area);
    for (from, to) in images.zip(nchw.chunks_exact_mut(channels.real() * area)) {
        for padded in 0..channels.padded() {
            let Some(c) = channels.at(padded) else { continue };
            let plane = &from[padded / lanes * area * lanes..][..area * lanes];
            for (pixel, value) in to[c * area..][..area].iter_mut().enumerate() {
                *value = plane[pixel * lanes + padded % lanes];
            }
        }
    }
    Ok(())
}

/// Global average pooling `[n, c/b, h, w, b]` to `[n, c]` (padding channels dropped).
///
/// # Errors
/// [`KernelError::Length`] if either slice does not fit `n`, `channels` and `size`.
pub fn global_pool(
    n: usize,
    channels: Channels,
    size: [usize; 2],
    blocked: &[f32],
    pooled: &mut [f32],
) -> Result<(), KernelError> {
    let (area, lanes) = (size[0] * size[1], channels.lanes());
    check("blocked activation", blocked_len(n, channels, size), blocked.len())?;
    check("pooled activation", n * channels.real(), pooled.len())?;
    if area == 0 {
        return Err(KernelError::TooSmall { what: "image area", minimum: 1, found: 0 });
    }
    for (block, plane) in blocked.chunks_exact(area * lanes).enumerate() {
        let (image, block) = (block / channels.blocks(), block % channels.blocks());
        let mut sums = [0f64; MAX_LANES];
        for pixel in plane.chunks_exact(lanes) {
            sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        for (lane, sum) in sums.iter().enumerate().take(lanes) {
            if let Some(c) = channels.at(block * lanes + lane) {
                pooled[image * channels.real() + c] = (sum / area as f64) as f32;
            }
        }
    }
    Ok(())
}

/// Gradient of [`global_pool`]: spreads `[n, c]` evenly over `[n, c/b, h, w, b]`.
///
/// # Errors
/// [`KernelError::Length`] if either slice does not fit `n`, `channels` and `size`.
pub fn global_pool_backward(
    n: usize,
    channels: Channels,
    size: [usize; 2],
    grad_pooled: &[f32],
    grad_blocked: &mut [f32],
) -> Result<(), KernelError> {
    let (area, lanes) = (size[0] * size[1], channels.lanes());
    check("pooled gradient", n * channels.real(), grad_pooled.len())?;
    check("blocked gradient", blocked_len(n, channels, size), grad_blocked.len())?;
    if area == 0 {
        return Err(KernelError::TooSmall { what: "image area", minimum: 1, found: 0 });
    }
    for (block, plane) in grad_blocked.chunks_exact_mut(area * lanes).enumerate() {
        let (image, block) = (block / channels.blocks(), block % channels.blocks());
        let shares: [f32; MAX_LANES] = std::array::from_fn(|lane| {
            let c = channels.at(block * lanes + lane).filter(|_| lane < lanes);
            c.map_or(0.0, |c| grad_pooled[image * channels.real() + c] / area as f32)
        });
        plane.chunks_exact_mut(lanes).for_each(|pixel| pixel.copy_from_slice(&shares[..lanes]));
    }
    Ok(())
}
