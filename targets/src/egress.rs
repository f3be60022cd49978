//! Which addresses a target may connect to. What a name means is asked once for each connection, and
//! only addresses that were looked at are connected to, so that no later answer can lead elsewhere.

use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::{
    ClientBuilder, Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};
use url::Host;

/// Carrier-grade NAT (RFC 6598).
const SHARED: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);
/// "This network" (RFC 791). Linux takes 0.0.0.0 for itself.
const THIS_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8);
/// Site-local, which unique local replaced (RFC 3879).
const SITE_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10);
/// IPv4 behind a translator (RFC 6052).
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
/// IPv4 behind a tunnel (RFC 3056).
const SIX_TO_FOUR: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);
/// Where clouds tell a machine its credentials, other than link-local: Amazon, Alibaba, Oracle.
const METADATA: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// What keeps an address from being connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Connected to where the settings say so.
    Private(&'static str),
    /// Never connected to.
    Never(&'static str),
}

/// The class of an address; `None` for those of the Internet.
fn class(address: IpAddr) -> Option<Class> {
    use Class::{Never, Private};
    let address = address.to_canonical();
    if METADATA.contains(&address) {
        return Some(Never("of a cloud's metadata"));
    }
    match address {
        IpAddr::V4(v4) => Some(match v4 {
            _ if v4.is_link_local() => Never("link-local"),
            _ if v4.is_multicast() => Never("a multicast group"),
            _ if v4.is_broadcast() => Never("the broadcast address"),
            _ if THIS_NETWORK.contains(&v4) => Never("unspecified"),
            _ if v4.is_loopback() => Private("loopback"),
            _ if v4.is_private() => Private("private"),
            _ if SHARED.contains(&v4) => Private("shared (carrier-grade NAT)"),
            _ => return None,
        }),
        IpAddr::V6(v6) => Some(match v6 {
            _ if v6.is_loopback() => Private("loopback"),
            _ if v6.is_unspecified() => Never("unspecified"),
            _ if v6.is_multicast() => Never("a multicast group"),
            _ if v6.is_unicast_link_local() => Never("link-local"),
            _ if v6.is_unique_local() => Private("unique local"),
            _ if SITE_LOCAL.contains(&v6) => Private("site-local"),
            _ => return class(IpAddr::V4(embedded(v6)?)),
        }),
    }
}

/// The IPv4 address that packets to an IPv6 address end at.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bytes = address.octets();
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = bytes;
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    if SIX_TO_FOUR.contains(&address) {
        let [_, _, a, b, c, d, ..] = bytes;
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    // ::a.b.c.d, which nobody uses any longer, and some systems still understand.
    address.to_ipv4()
}

/// An address that is not connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Forbidden {
    host: String,
    address: IpAddr,
    class: Class,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, address, class } = self;
        match class {
            Class::Private(word) => write!(
                f,
                "{host} is {address}, which is {word}; if it is meant, set \
                 spec.allowPrivateAddresses: true"
            ),
            Class::Never(word) => write!(
                f,
                "{host} is {address}, which is {word}: nothing is sent there, change spec.serverUrl"
            ),
        }
    }
}

/// What a target's settings allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Egress {
    /// Whether the target's own machine and networks that are not the Internet are allowed.
    pub private: bool,
}

impl Egress {
    /// Makes a client keep to it. A proxy of the environment would resolve names itself, so none is
    /// used.
    pub fn guard(self, builder: ClientBuilder) -> ClientBuilder {
        builder.no_proxy().dns_resolver(Arc::new(self))
    }

    /// Whether an address that is written out may be connected to: no resolver is asked about it.
    pub fn check(self, url: &Url) -> Result<(), Forbidden> {
        let address = match url.host() {
            Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
            Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        self.allows("the host of spec.serverUrl", address)
    }

    fn allows(self, host: &str, address: IpAddr) -> Result<(), Forbidden> {
        match class(address) {
            None => Ok(()),
            Some(Class::Private(_)) if self.private => Ok(()),
            Some(class) => Err(Forbidden { host: host.to_owned(), address, class }),
        }
    }

    /// Those of a name's addresses that are allowed; if none is, why.
    fn allowed(
        self,
        host: &str,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Forbidden> {
        let (mut allowed, mut forbidden) = (Vec::new(), None);
        for address in addresses {
            match self.allows(host, address.ip()) {
                Ok(()) => allowed.push(address),
                Err(why) => forbidden = forbidden.or(Some(why)),
            }
        }
        match forbidden {
            Some(why) if allowed.is_empty() => Err(why),
            _ => Ok(allowed),
        }
    }
}

impl Resolve for Egress {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = *self;
        Box::pin(async move {
            let host = name.as_str();
            let addresses = tokio::net::lookup_host((host, 0)).await?;
            let allowed = egress.allowed(host, addresses)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use ipnet::IpNet;

    fn word(address: &str) -> &'static str {
        match class(address.parse().unwrap()) {
            None => "public",
            Some(Class::Private(_)) => "private",
            Some(Class::Never(_)) => "never",
        }
    }

    #[test]
    fn g07_each_network_is_public_private_or_never_connected_to_at_both_its_ends() {
        for (network, expected) in [
            ("127.0.0.0/8", "private"),
            ("10.0.0.0/8", "private"),
            ("172.16.0.0/12", "private"),
            ("192.168.0.0/16", "private"),
            ("100.64.0.0/10", "private"),
            ("::1/128", "private"),
            ("fc00::/7", "private"),
            ("fec0::/10", "private"),
            ("169.254.0.0/16", "never"),
            ("224.0.0.0/4", "never"),
            ("0.0.0.0/8", "never"),
            ("255.255.255.255/32", "never"),
            ("::/128", "never"),
            ("fe80::/10", "never"),
            ("ff00::/8", "never"),
        ] {
            let network: IpNet = network.parse().unwrap();
            // Alone, and within each form that ends at an IPv4 address.
            for (first, last) in forms(network) {
                assert_eq!((word(&first), word(&last)), (expected, expected), "{first} {last}");
            }
        }
        for neighbour in [
            "9.255.255.255",
            "11.0.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "223.255.255.255",
            "1.0.0.0",
            "2001:db8::1",
            "fbff::1",
            "fe00::1",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "::ffff:8.8.8.8",
        ] {
            assert_eq!(word(neighbour), "public", "{neighbour}");
        }
        for metadata in ["fd00:ec2::254", "100.100.100.200", "192.0.0.192"] {
            assert_eq!(word(metadata), "never", "{metadata}");
        }
    }

    /// First and last address of a network, as each form of it is written.
    fn forms(network: IpNet) -> Vec<(String, String)> {
        let ends = (network.network(), network.broadcast());
        let mut forms = vec![(ends.0.to_string(), ends.1.to_string())];
        if let (IpAddr::V4(first), IpAddr::V4(last)) = ends {
            for prefix in ["::ffff:", "64:ff9b::"] {
                forms.push((format!("{prefix}{first}"), format!("{prefix}{last}")));
            }
            let tunnel = |v4: Ipv4Addr| {
                let [a, b, c, d] = v4.octets();
                format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1")
            };
            forms.push((tunnel(first), tunnel(last)));
        }
        forms
    }

    #[test]
    fn g07_of_a_names_addresses_the_allowed_ones_are_connected_to_and_without_any_one_is_told() {
        let all: Vec<SocketAddr> =
            ["192.0.2.1:0", "10.0.0.7:0", "169.254.169.254:0", "[fe80::1]:0"]
                .map(|address| address.parse().unwrap())
                .to_vec();
        let of = |private, addresses: &[SocketAddr]| {
            Egress { private }.allowed("ci.example.org", addresses.iter().copied())
        };
        assert_eq!(of(false, &all), Ok(all[..1].to_vec()));
        assert_eq!(of(true, &all), Ok(all[..2].to_vec()));
        let text = of(false, &all[1..]).unwrap_err().to_string();
        assert_eq!(
            text,
            "ci.example.org is 10.0.0.7, which is private; if it is meant, set \
             spec.allowPrivateAddresses: true"
        );
        let text = of(true, &all[2..]).unwrap_err().to_string();
        assert_eq!(
            text,
            "ci.example.org is 169.254.169.254, which is link-local: nothing is sent there, \
             change spec.serverUrl"
        );
        assert_eq!(of(false, &[]), Ok(vec![]));
    }
}
