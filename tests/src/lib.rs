//! What whole-system tests and benchmarks share: where the images are, and an appliance on a virtual network. It never
//! builds an image.

mod appliance;
pub mod bridge;
mod disks;
mod image;
mod site;

pub use appliance::{Appliance, Plan};
pub use disks::{Extent, data_partition, put_data};
pub use image::Image;
pub use site::{Site, SitePlan};
