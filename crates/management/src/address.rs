//! Addresses of security servers.

use std::net::IpAddr;

/// Whether a text is an IP address or a domain name that can be looked up: labels of letters, digits,
/// hyphens and underscores, 1 to 63 long, no hyphen at their ends, the last not beginning with a digit;
/// 253 characters at most (X-Road `assertAddress`). Domain names of other scripts must come in their
/// ASCII form (`xn--…`), which X-Road makes itself.
pub fn is_host(address: &str) -> bool {
    if address.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = address.strip_suffix('.').unwrap_or(address);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253
        && name.split('.').all(is_label)
        && !last.starts_with(|c: char| c.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn hosts() {
        for good in ["ss1", "ss1.example.org", "192.0.2.1", "2001:db8::1", "xn--4ca.ee", "a_b.c."] {
            assert!(is_host(good), "{good}");
        }
        let long = format!("{}.org", "a".repeat(64));
        for bad in
            ["", " ", "a..b", "-a.b", "a-.b", "http://a", "a:1", "a/b", "1.2.3", &long, "õ.ee"]
        {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
