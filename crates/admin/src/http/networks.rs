use std::net::IpAddr;
use std::str::FromStr;

/// Networks from which something is allowed: addresses, or addresses with a prefix length
/// (`192.0.2.0/24`). X-Road's whitelists have the same form, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u8)>);

impl Networks {
    /// This machine alone; X-Road's default for work on API keys.
    pub fn loopback() -> Self {
        let v4 = IpAddr::from([127, 0, 0, 0]);
        let v6 = IpAddr::from(std::net::Ipv6Addr::LOCALHOST);
        Self(vec![(v4, 8), (v6, 128)])
    }

    /// Every address.
    pub fn all() -> Self {
        let v6 = std::net::Ipv6Addr::UNSPECIFIED;
        Self(vec![(IpAddr::from([0, 0, 0, 0]), 0), (IpAddr::from(v6), 0)])
    }

    /// Whether an address is in one of them. An IPv4 address in IPv6 form counts as what it is.
    pub fn contain(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32_u8),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        let (address, family) = bits(address.to_canonical());
        self.0.iter().any(|(network, prefix)| {
            let (network, of) = bits(*network);
            let mask = u128::MAX.checked_shl(128 - u32::from(*prefix)).unwrap_or(0);
            of == family && address & mask == network & mask
        })
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let one = |entry: &str| -> Option<(IpAddr, u8)> {
            let (address, prefix) = match entry.split_once('/') {
                Some((address, prefix)) => (address, Some(prefix)),
                None => (entry, None),
            };
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let prefix = match prefix {
                Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= most)?,
                None => most,
            };
            Some((address, prefix))
        };
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries
            .map(|entry| one(entry).ok_or_else(|| format!("'{entry}' is no address or network")))
            .collect::<Result<Vec<_>, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn networks_contain_what_they_say() {
        let contain = |networks: &str, address: &str| {
            networks.parse::<Networks>().unwrap().contain(address.parse().unwrap())
        };
        assert!(contain("127.0.0.0/8, ::1", "127.9.9.9"));
        assert!(contain("127.0.0.0/8, ::1", "::ffff:127.0.0.1"));
        assert!(contain("127.0.0.0/8, ::1", "::1"));
        assert!(!contain("127.0.0.0/8, ::1", "128.0.0.1"));
        assert!(!contain("127.0.0.0/8, ::1", "::2"));
        assert!(contain("10.1.2.3", "10.1.2.3") && !contain("10.1.2.3", "10.1.2.4"));
        assert!(contain("0.0.0.0/0", "8.8.8.8") && !contain("0.0.0.0/0", "2001:db8::1"));
        assert!(
            contain("2001:db8::/32", "2001:db8:9::1") && !contain("2001:db8::/32", "2001:db9::")
        );
        assert!(!contain("", "127.0.0.1"));
        for bad in ["127.0.0.1/33", "host", "::/129", "1.2.3", "1.2.3.4/", "1.2.3.4/-1"] {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
        assert!(Networks::all().contain("203.0.113.9".parse().unwrap()));
        assert!(!Networks::loopback().contain("203.0.113.9".parse().unwrap()));
    }
}
