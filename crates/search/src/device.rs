//! Devices by name: the CPU always, others where the build has them.

pub use burn::tensor::Device;

use crate::SearchError;

/// Names of the devices that this build has.
pub const DEVICES: &[&str] = &[
    "cpu",
    #[cfg(feature = "vulkan")]
    "vulkan",
    #[cfg(feature = "metal")]
    "metal",
    #[cfg(feature = "cuda")]
    "cuda",
    #[cfg(feature = "rocm")]
    "rocm",
];

/// The device called `name`, ready for training.
///
/// # Errors
/// [`SearchError::Device`] for a name not in [`DEVICES`].
pub fn device(name: &str) -> Result<Device, SearchError> {
    let device = match name {
        "cpu" => Device::flex(),
        #[cfg(feature = "vulkan")]
        "vulkan" => Device::vulkan(burn::tensor::DeviceKind::DefaultDevice),
        #[cfg(feature = "metal")]
        "metal" => Device::metal(burn::tensor::DeviceKind::DefaultDevice),
        #[cfg(feature = "cuda")]
        "cuda" => Device::cuda(0),
        #[cfg(feature = "rocm")]
        "rocm" => Device::rocm(0),
        _ => {
            return Err(SearchError::Device { found: name.to_owned(), known: DEVICES.join(", ") });
        }
    };
    Ok(device.autodiff())
}
