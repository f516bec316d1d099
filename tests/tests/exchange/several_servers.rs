//! several_servers
