//! (in the making)

pub mod work;
