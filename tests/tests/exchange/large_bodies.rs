//! large_bodies
