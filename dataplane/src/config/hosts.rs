//! The host table: addresses that the operator gives for names, ahead of DNS.
//!
//! What `--resolve` is to curl: the address dialled changes, the TLS name and its verification do not. Parsed from
//! `[upstream.hosts]`; asked by the flow before it asks the resolver.

use std::collections::HashMap;
use std::net::SocketAddr;

use penstock_core::sni::Sni;

/// Addresses by name; `*` stands for every name that is not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostTable {
    entries: HashMap<Sni, SocketAddr>,
    otherwise: Option<SocketAddr>,
    /// The entries the other way round.
    names: HashMap<SocketAddr, Vec<Sni>>,
}

/// Why an entry of the table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostEntryError {
    /// The address is not `IP:PORT`.
    #[error("`{0}` is not an address: write IP:PORT, for IPv6 [IP]:PORT")]
    Address(String),
    /// The name occurs twice.
    #[error("`{0}` is listed twice")]
    Duplicate(String),
    /// The name is no host name.
    #[error("`{0}` is not a host name (write `*` for every name that is not listed)")]
    Name(String),
}

impl HostTable {
    /// Adds an entry as it is written in the configuration.
    pub(crate) fn insert(&mut self, name: &str, address: &str) -> Result<(), HostEntryError> {
        let address: SocketAddr = match address.trim().parse() {
            Ok(address) => address,
            Err(_) => return Err(HostEntryError::Address(address.to_owned())),
        };
        if address.port() == 0 {
            return Err(HostEntryError::Address(address.to_string()));
        }
        let previous = if name == "*" {
            self.otherwise.replace(address)
        } else {
            let Ok(sni) = Sni::parse(name.as_bytes()) else {
                return Err(HostEntryError::Name(name.to_owned()));
            };
            self.names.entry(address).or_default().push(sni.clone());
            self.entries.insert(sni, address)
        };
        if previous.is_some() { Err(HostEntryError::Duplicate(name.to_owned())) } else { Ok(()) }
    }

    /// The address to dial for `name`: its own entry, else that of `*`.
    pub(crate) fn find(&self, name: &Sni) -> Option<SocketAddr> {
        self.entries.get(name).copied().or(self.otherwise)
    }

    /// The names that are listed with `address`, unless every other name is led there too.
    pub(crate) fn names_at(&self, address: SocketAddr) -> &[Sni] {
        if self.otherwise == Some(address) {
            return &[];
        }
        self.names.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Whether the entry that [`Self::find`] takes for `name` has `port`: an operator who lists a name with a port lets
    /// the proxy listener be asked for it, beside the ports of the policy.
    pub(crate) fn allows_port(&self, name: &Sni, port: u16) -> bool {
        self.find(name).is_some_and(|address| address.port() == port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sni(name: &str) -> Sni {
        Sni::parse(name.as_bytes()).unwrap()
    }

    fn table(entries: &[(&str, &str)]) -> HostTable {
        let mut table = HostTable::default();
        for (name, address) in entries {
            table.insert(name, address).unwrap();
        }
        table
    }

    #[test]
    fn an_exact_name_comes_before_the_star() {
        let table = table(&[("*", "127.0.0.1:4433"), ("Login.Example.", "[::1]:8443")]);
        assert_eq!(table.find(&sni("login.example")), Some("[::1]:8443".parse().unwrap()));
        assert_eq!(table.find(&sni("other.example")), Some("127.0.0.1:4433".parse().unwrap()));
        assert!(table.allows_port(&sni("login.example"), 8443));
        assert!(!table.allows_port(&sni("login.example"), 4433), "the star does not speak for a listed name");
        assert!(table.allows_port(&sni("a.example"), 4433));
        assert!(!table.allows_port(&sni("a.example"), 443));
    }

    #[test]
    fn an_address_knows_its_names_unless_all_names_lead_there() {
        let listed = [("a.example", "127.0.0.1:4433"), ("b.example", "127.0.0.1:4433")];
        let at = |table: &HostTable, port| table.names_at(SocketAddr::from(([127, 0, 0, 1], port))).to_vec();
        let mut table = table(&listed);
        assert_eq!(at(&table, 4433), [sni("a.example"), sni("b.example")]);
        assert_eq!(at(&table, 4434), []);
        table.insert("*", "127.0.0.1:4433").unwrap();
        assert_eq!(at(&table, 4433), []);
    }

    #[test]
    fn without_an_entry_nothing_is_found_or_allowed() {
        let table = table(&[("a.example", "192.0.2.1:443")]);
        assert_eq!(table.find(&sni("b.example")), None);
        assert!(!table.allows_port(&sni("b.example"), 443));
    }

    #[test]
    fn a_bad_entry_is_named() {
        let refuse = |name: &str, address: &str| HostTable::default().insert(name, address).unwrap_err();
        assert_eq!(refuse("a.example", "192.0.2.1"), HostEntryError::Address("192.0.2.1".to_owned()));
        assert_eq!(refuse("a.example", "192.0.2.1:0"), HostEntryError::Address("192.0.2.1:0".to_owned()));
        assert_eq!(refuse("a.example", "b.example:443"), HostEntryError::Address("b.example:443".to_owned()));
        assert_eq!(refuse("192.0.2.1", "192.0.2.1:443"), HostEntryError::Name("192.0.2.1".to_owned()));
        assert_eq!(refuse("*.example", "192.0.2.1:443"), HostEntryError::Name("*.example".to_owned()));
        assert_eq!(refuse("", "192.0.2.1:443"), HostEntryError::Name(String::new()));
        let mut table = table(&[("a.example", "192.0.2.1:443")]);
        assert_eq!(table.insert("A.example", "192.0.2.2:443"), Err(HostEntryError::Duplicate("A.example".to_owned())));
    }
}
