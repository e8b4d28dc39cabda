//! The blocked layout `[n, c/8, h, w, 8]` in which activations pass between kernels, and its conversions.
//!
//! Channels come in *groups* (the four nodes a cell concatenates), each padded to a multiple of eight with
//! zero channels, so that a node's planes are contiguous whatever the channel count.

use crate::error::{KernelError, check};

/// Channels in a block: the lanes of one vector.
pub const LANES: usize = 8;

/// Channels of an activation: `groups` times `per_group`, each group padded to a multiple of [`LANES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Number of concatenated groups.
    pub groups: usize,
    /// Real channels in each group.
    pub per_group: usize,
}

impl Channels {
    /// One group of `channels`.
    #[must_use]
    pub const fn new(channels: usize) -> Self {
        Self { groups: 1, per_group: channels }
    }

    /// Real channels in all.
    #[must_use]
    pub const fn real(self) -> usize {
        self.groups * self.per_group
    }

    /// Blocks of eight in all.
    #[must_use]
    pub const fn blocks(self) -> usize {
        self.groups * self.per_group.div_ceil(LANES)
    }

    /// Channels after padding.
    #[must_use]
    pub const fn padded(self) -> usize {
        self.blocks() * LANES
    }

    /// The real channel at a padded position, or `None` for padding.
    #[must_use]
    pub const fn at(self, padded: usize) -> Option<usize> {
        let width = self.per_group.div_ceil(LANES) * LANES;
        let (group, lane) = (padded / width, padded % width);
        if lane < self.per_group { Some(group * self.per_group + lane) } else { None }
    }
}

/// Length of a blocked activation `[n, blocks, h, w, 8]`.
#[must_use]
pub const fn blocked_len(n: usize, channels: Channels, [h, w]: [usize; 2]) -> usize {
    n * channels.padded() * h * w
}

/// Copies `[n, c, h, w]` into `[n, c/8, h, w, 8]`; padding channels become zero.
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
    let area = size[0] * size[1];
    check("nchw activation", n * channels.real() * area, nchw.len())?;
    check("blocked activation", blocked_len(n, channels, size), blocked.len())?;
    if area == 0 || channels.real() == 0 {
        return Ok(());
    }
    let images = nchw.chunks_exact(channels.real() * area);
    for (from, to) in images.zip(blocked.chunks_exact_mut(channels.padded() * area)) {
        for (block, plane) in to.chunks_exact_mut(area * LANES).enumerate() {
            for lane in 0..LANES {
                let source = channels.at(block * LANES + lane).map(|c| &from[c * area..][..area]);
                for pixel in 0..area {
                    plane[pixel * LANES + lane] = source.map_or(0.0, |s| s[pixel]);
                }
            }
        }
    }
    Ok(())
}

/// Copies `[n, c/8, h, w, 8]` into `[n, c, h, w]`, dropping padding channels.
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
    let area = size[0] * size[1];
    check("blocked activation", blocked_len(n, channels, size), blocked.len())?;
    check("nchw activation", n * channels.real() * area, nchw.len())?;
    if area == 0 || channels.real() == 0 {
        return Ok(());
    }
    let images = blocked.chunks_exact(channels.padded() * area);
    for (from, to) in images.zip(nchw.chunks_exact_mut(channels.real() * area)) {
        for padded in 0..channels.padded() {
            let Some(c) = channels.at(padded) else { continue };
            let plane = &from[padded / LANES * area * LANES..][..area * LANES];
            for (pixel, value) in to[c * area..][..area].iter_mut().enumerate() {
                *value = plane[pixel * LANES + padded % LANES];
            }
        }
    }
    Ok(())
}

/// Global average pooling `[n, c/8, h, w, 8]` to `[n, c]` (padding channels dropped).
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
    let area = size[0] * size[1];
    check("blocked activation", blocked_len(n, channels, size), blocked.len())?;
    check("pooled activation", n * channels.real(), pooled.len())?;
    if area == 0 {
        return Err(KernelError::TooSmall { what: "image area", minimum: 1, found: 0 });
    }
    for (block, plane) in blocked.chunks_exact(area * LANES).enumerate() {
        let (image, block) = (block / channels.blocks(), block % channels.blocks());
        let mut sums = [0f64; LANES];
        for pixel in plane.chunks_exact(LANES) {
            sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        for (lane, sum) in sums.iter().enumerate() {
            if let Some(c) = channels.at(block * LANES + lane) {
                pooled[image * channels.real() + c] = (sum / area as f64) as f32;
            }
        }
    }
    Ok(())
}

/// Gradient of [`global_pool`]: spreads `[n, c]` evenly over `[n, c/8, h, w, 8]`.
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
    let area = size[0] * size[1];
    check("pooled gradient", n * channels.real(), grad_pooled.len())?;
    check("blocked gradient", blocked_len(n, channels, size), grad_blocked.len())?;
    if area == 0 {
        return Err(KernelError::TooSmall { what: "image area", minimum: 1, found: 0 });
    }
    for (block, plane) in grad_blocked.chunks_exact_mut(area * LANES).enumerate() {
        let (image, block) = (block / channels.blocks(), block % channels.blocks());
        let lanes: [f32; LANES] = std::array::from_fn(|lane| {
            let c = channels.at(block * LANES + lane);
            c.map_or(0.0, |c| grad_pooled[image * channels.real() + c] / area as f32)
        });
        plane.chunks_exact_mut(LANES).for_each(|pixel| pixel.copy_from_slice(&lanes));
    }
    Ok(())
}
