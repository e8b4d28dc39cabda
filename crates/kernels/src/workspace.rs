//! Buffers that live as long as the network: a fresh page costs more than the arithmetic done on it.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cell::Layout;
use crate::plan::CellPlan;
use crate::simd::Level;

/// A pool of buffers, the layouts of cells, and the instructions to use. Clones share the pool. Every kernel takes its
/// scratch and what it saves for the way back from here and returns it on drop, so that after the first step nothing
/// large is allocated.
#[derive(Debug, Clone)]
pub struct Workspace {
    pool: Arc<Mutex<Vec<Vec<Chunk>>>>,
    /// Of the cells that ran last, the newest at the end.
    layouts: Arc<Mutex<Vec<Arc<Layout>>>>,
    level: Level,
}

/// Layouts kept, more than two networks have kinds of cells.
const LAYOUTS: usize = 64;

/// A cache line: keeps every vector inside one.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Chunk([f32; CHUNK]);

const CHUNK: usize = 16;

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}

impl Workspace {
    /// An empty pool with the fastest instructions of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self::with_level(Level::detect())
    }

    /// An empty pool with chosen instructions.
    #[must_use]
    pub fn with_level(level: Level) -> Self {
        Self { pool: Arc::default(), layouts: Arc::default(), level }
    }

    /// The instructions in use.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Bytes now lying unused in the pool.
    #[must_use]
    pub fn idle_bytes(&self) -> usize {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.iter().map(|buffer| buffer.capacity() * size_of::<Chunk>()).sum()
    }

    /// Gives all unused buffers back to the system.
    pub fn clear(&self) {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A buffer of `len` floats with unspecified (but initialised) content: the smallest idle one that fits.
    #[must_use]
    pub fn take(&self, len: usize) -> Buffer {
        let chunks = len.div_ceil(CHUNK);
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        // A much larger buffer stays for whoever needs it whole.
        let fits = |buffer: &Vec<Chunk>| buffer.len() >= chunks && buffer.len() <= 2 * chunks + 64;
        let best = (0..pool.len()).filter(|&i| fits(&pool[i])).min_by_key(|&i| pool[i].len());
        let chunks = match best {
            Some(index) => pool.swap_remove(index),
            None => allocate(chunks),
        };
        Buffer { chunks, len, pool: Arc::clone(&self.pool) }
    }

    /// A buffer of `len` doubles with unspecified (but initialised) content.
    pub(crate) fn take_doubles(&self, len: usize) -> Doubles {
        Doubles(self.take(2 * len))
    }

    /// The layout of `plan`: found again, since to make one takes as long as a pass over a small image.
    pub(crate) fn layout(&self, plan: &CellPlan) -> Arc<Layout> {
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        let layout = match layouts.iter().position(|layout| layout.plan == *plan) {
            Some(index) => layouts.remove(index),
            None => Arc::new(Layout::new(plan)),
        };
        if layouts.len() == LAYOUTS {
            layouts.remove(0);
        }
        layouts.push(Arc::clone(&layout));
        layout
    }

    /// A buffer of `len` zeros.
    pub(crate) fn take_zeroed(&self, len: usize) -> Buffer {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }
}

/// Zeroed chunks, in huge pages where the system offers them: streams through hundreds of megabytes otherwise
/// spend their time in page walks.
fn allocate(chunks: usize) -> Vec<Chunk> {
    let mut buffer = Vec::with_capacity(chunks);
    #[cfg(target_os = "linux")]
    if chunks * size_of::<Chunk>() >= 2 * HUGE_PAGE {
        let start = (buffer.as_mut_ptr() as usize).next_multiple_of(HUGE_PAGE);
        let end = (buffer.as_ptr() as usize + chunks * size_of::<Chunk>()) / HUGE_PAGE * HUGE_PAGE;
        // SAFETY: advice on whole pages inside an allocation of ours; it does not change their content. Refusal
        // is harmless, so the result is not looked at.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE);
        }
    }
    buffer.resize(chunks, Chunk([0.0; CHUNK]));
    buffer
}

#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 << 20;

/// Floats borrowed from a [`Workspace`]; they go back on drop.
#[derive(Debug)]
pub struct Buffer {
    chunks: Vec<Chunk>,
    len: usize,
    pool: Arc<Mutex<Vec<Vec<Chunk>>>>,
}

impl Buffer {
    /// Number of bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.len * size_of::<f32>()
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `Chunk` is nothing but `CHUNK` floats without padding, and `len` of them are there.
        unsafe { std::slice::from_raw_parts(self.chunks.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.chunks.as_mut_ptr().cast(), self.len) }
    }
}

/// A buffer of doubles.
pub(crate) struct Doubles(Buffer);

impl Deref for Doubles {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        // SAFETY: two floats take as much room as a double, whose alignment a chunk has, and any bits are a double.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() / 2) }
    }
}

impl DerefMut for Doubles {
    fn deref_mut(&mut self) -> &mut [f64] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() / 2) }
    }
}

/// The floats as bytes, for owners of memory that know no types.
impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: every byte of the floats is initialised, and the borrow lasts as long as the slice.
        unsafe { std::slice::from_raw_parts(self.chunks.as_ptr().cast(), self.bytes()) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let chunks = std::mem::take(&mut self.chunks);
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).push(chunks);
    }
}

/// Asks the C library to keep freed memory for the program instead of giving it back to the system: every step frees
/// and asks for the same activations again, and fresh pages cost more than the arithmetic done on them. For programs
/// that mostly train; call it before the first step. Does nothing where the C library is not glibc.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: settings of the allocator, which it takes at any time; refusal is harmless.
    unsafe {
        // Neither parameter alone would do: mapped blocks go back when freed, and so does a heap's free end.
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}
