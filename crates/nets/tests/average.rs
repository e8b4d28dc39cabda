//! The moving average of a module's values.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use burn::tensor::{Device, Tensor};
use cdarts_nets::norm::BatchNorm;
use cdarts_nets::{Initialiser, moving_average, weights};
use safetensors::SafeTensors;

/// All values of a module, running statistics included.
fn values(norm: &BatchNorm) -> Vec<f32> {
    let bytes = weights::to_bytes(norm).unwrap();
    let mut tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let floats = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    tensors.iter().flat_map(|(_, tensor)| floats(tensor.data())).collect()
}

#[test]
fn every_value_follows_the_formula_and_the_network_stays() {
    let device = Device::flex().autodiff();
    let init = Initialiser::new(1, &device);
    let new = || BatchNorm::new(3, true, &init);
    let (norm, mut average) = (new(), new());
    let mut expected = values(&average);
    assert_eq!(expected.len(), 4 * 3, "scale, shift, running mean and variance");
    for (step, decay) in [0.1, 0.5, 0.9].into_iter().enumerate() {
        // The running statistics move.
        let images = Tensor::<4>::full([2, 3, 2, 2], step as f32 + 1.0, &device);
        norm.forward(images * Tensor::<4>::from_floats([[[[1.0, 2.0], [3.0, 5.0]]]], &device));
        let newest = values(&norm);
        for (old, new) in expected.iter_mut().zip(&newest) {
            *old = (decay * f64::from(*old) + (1.0 - decay) * f64::from(*new)) as f32;
        }
        average = moving_average(average, &norm, decay);
        for (found, expected) in values(&average).iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(values(&norm), newest, "the network itself is not touched");
        assert_ne!(values(&average), newest);
    }
}
