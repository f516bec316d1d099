//! Questions of strangers: nothing panics, and what is read leads to a search within what was asked for.
#![no_main]

use causeway_monitoring::request::{HealthQuery, MetricsQuery, OperationalQuery};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|soap: &[u8]| {
    let _ = HealthQuery::parse(soap);
    let _ = MetricsQuery::parse(soap);
    if let Ok(query) = OperationalQuery::parse(soap)
        && let Ok((search, _)) = query.search(None, 1_700_000_000, 60, 100)
    {
        assert!(search.from as i64 >= query.from && search.to as i64 <= query.to);
        assert!(search.to < 1_700_000_000 - 60);
    }
});
