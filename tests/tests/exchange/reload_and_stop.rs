//! reload_and_stop
