//! A log on a disk that runs full and comes back.
