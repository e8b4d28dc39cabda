//! Random numbers as a function of what they are for.
//!
//! A generator is keyed by seed, purpose and two positions (epoch, image, class), never drawn on from a shared
//! stream: whatever order the work is done in, and wherever it is resumed, each place gets its own numbers.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What the numbers decide.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// Which image goes to which part; positions: class, 0.
    Split = 1,
    /// The order of an epoch; positions: epoch, 0.
    Order = 2,
    /// All changes of one image; positions: epoch, image.
    Augment = 3,
    /// Which images of a batch are blended, and how; positions: epoch, step.
    Mixup = 4,
}

/// The generator of one place. ChaCha takes a key of 256 bits, so the four numbers are the key and need no
/// mixing.
pub(crate) fn generator(seed: u64, purpose: Purpose, positions: [u64; 2]) -> ChaCha8Rng {
    let mut key = [0; 32];
    let words = [seed, purpose as u64, positions[0], positions[1]];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}
