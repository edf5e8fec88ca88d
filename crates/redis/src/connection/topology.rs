//! What a url says: one server, sentinels that know a master, or a Redis Cluster.

use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult};

use crate::connection::map::Address;

/// How servers of Redis are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    /// There is only this one.
    Single(Address),
    /// One of these knows which server is the master.
    Sentinel { service: String, sentinels: Vec<Address> },
    /// One of these knows the owners of all slots.
    Cluster { seeds: Vec<Address> },
}

/// A url that was read.
pub(crate) struct Parsed {
    pub(crate) topology: Topology,
    /// How to connect to a server: to the first of the url, and to another by its address.
    pub(crate) base: ConnectionInfo,
}

/// Whether the url is that of a Redis Cluster.
pub(crate) fn is_cluster(url: &str) -> bool {
    matches!(url.split_once("://"), Some(("redis+cluster" | "rediss+cluster", _)))
}

/// Reads a url. Its password does not come into the error.
pub(crate) fn parse(url: &str) -> RedisResult<Parsed> {
    let Some((scheme, rest)) = url.split_once("://") else { return single(url) };
    let Some((scheme, kind)) = scheme.split_once('+').filter(|(scheme, _)| matches!(*scheme, "redis" | "rediss"))
    else {
        return single(url);
    };
    let (rest, fragment) = match rest.split_once('#') {
        Some((rest, fragment)) => (rest, format!("#{fragment}")),
        None => (rest, String::new()),
    };
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (format!("{user}@"), rest),
        None => (String::new(), rest),
    };
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (service, database) = path.split_once('/').unwrap_or((path, ""));
    let (default_port, database) = match kind {
        "sentinel" => (26_379, database),
        "cluster" if path.is_empty() => (6_379, ""),
        "cluster" => return Err(unusable("a Redis Cluster has no databases: nothing may come after the hosts")),
        "unix" => return single(url),
        _ => return Err(unusable("the scheme must be redis, redis+sentinel or redis+cluster; with TLS rediss…")),
    };
    let mut base = None;
    let mut addresses = Vec::new();
    for host in hosts.split(',') {
        let host = match has_port(host) {
            true => host.to_owned(),
            false => format!("{host}:{default_port}"),
        };
        let info = format!("{scheme}://{user}{host}/{database}{fragment}").as_str().into_connection_info()?;
        addresses.push(address(info.addr()));
        base.get_or_insert(info);
    }
    let Some(base) = base else { return Err(unusable("there is no host")) };
    let topology = match kind {
        "cluster" => Topology::Cluster { seeds: addresses },
        _ if service.is_empty() => {
            return Err(unusable("the name of the sentinels' service is missing: redis+sentinel://host:port/service"));
        }
        _ => Topology::Sentinel { service: service.to_owned(), sentinels: addresses },
    };
    Ok(Parsed { topology, base })
}

fn single(url: &str) -> RedisResult<Parsed> {
    let base = url.into_connection_info()?;
    Ok(Parsed { topology: Topology::Single(address(base.addr())), base })
}

fn address(address: &ConnectionAddr) -> Address {
    match address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => Address::new(host, *port),
        other => Address::new(&other.to_string(), 0),
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(name, port)| !port.ends_with(']') && (!name.contains(':') || name.ends_with(']')))
}

fn unusable(what: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, what).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(url: &str) -> Topology {
        parse(url).unwrap().topology
    }

    #[test]
    fn one_server() {
        for url in ["redis://host:7/", "redis://u:p@host:7", "rediss://host:7/1"] {
            assert_eq!(topology(url), Topology::Single(Address::new("host", 7)), "{url}");
        }
    }

    #[test]
    fn sentinels() {
        let sentinels = vec![Address::new("a", 1), Address::new("b", 26_379), Address::new("::1", 26_379)];
        let parsed = parse("redis+sentinel://user:p%40ss@a:1,b,[::1]/main/3").unwrap();
        assert_eq!(parsed.topology, Topology::Sentinel { service: "main".to_owned(), sentinels });
        let settings = parsed.base.redis_settings();
        assert_eq!((settings.username(), settings.password(), settings.db()), (Some("user"), Some("p@ss"), 3));
        assert!(matches!(parse("rediss+sentinel://a/s").unwrap().base.addr(), ConnectionAddr::TcpTls { .. }));
    }

    #[test]
    fn clusters() {
        let seeds = vec![Address::new("a", 6_379), Address::new("b", 7)];
        assert_eq!(topology("redis+cluster://:secret@a,b:7"), Topology::Cluster { seeds: seeds.clone() });
        assert_eq!(topology("rediss+cluster://a,b:7/"), Topology::Cluster { seeds });
        assert!(is_cluster("rediss+cluster://a") && !is_cluster("redis://a/cluster"));
    }

    #[test]
    fn what_cannot_be_used_is_told_without_its_password() {
        for url in [
            "nonsense",
            "http://u:secret@host",
            "redis+nonsense://u:secret@host",
            "redis+sentinel://u:secret@host",
            "redis+sentinel://u:secret@host:port/s",
            "redis+cluster://u:secret@host/1",
            "redis+cluster://u:secret@",
            "redis+cluster://u:secret@a,,b",
            "redis://u:secret@host:port",
        ] {
            let error = parse(url).err().unwrap_or_else(|| panic!("{url}")).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
