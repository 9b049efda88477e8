//! `[[site]]` and `[[user]]`: what the document calls the networks that flows come from.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::Snapshot;
use super::document::Section;
use super::findings::Findings;
use super::profile::read_network;
use crate::limits::POLICY_NAMED_NETWORKS_MAX;
use crate::users::is_user_name;

/// Networks and their names. Where networks hold one another, the narrowest that holds an address tells.
#[derive(Debug, Default)]
pub(super) struct NamedNetworks {
    names: Vec<Box<str>>,
    /// In order, each once, with the place of its name.
    networks: Vec<(IpNet, usize)>,
    /// The prefix lengths that occur, longest first.
    v4_lengths: Vec<u8>,
    v6_lengths: Vec<u8>,
}

impl NamedNetworks {
    /// Reads all sections of one kind.
    pub(super) fn read(sections: &[Section<'_>], findings: &mut Findings) -> Self {
        let mut named = Self::default();
        for section in sections {
            named.read_section(section, findings);
        }
        if named.networks.len() > POLICY_NAMED_NETWORKS_MAX {
            let title = sections.first().map_or("", Section::title);
            let count = named.networks.len();
            findings
                .error(0, format!("the sources of all {title} are {count}; {POLICY_NAMED_NETWORKS_MAX} is the most"));
        }
        named
    }

    fn read_section(&mut self, section: &Section<'_>, findings: &mut Findings) {
        let title = section.title();
        section.refuse_unknown_keys(&["name", "sources"], title, findings);
        let name = section.required_string("name", findings);
        if let Some(name) = name {
            if !is_user_name(name.value) {
                findings.error(name.at, format!("{:?} is no name for {title}: no \":\" and no \",\"", name.value));
            } else if self.place_of(name.value).is_some() {
                findings.error(name.at, format!("there is a {title} {:?} already", name.value));
            }
        }
        match section.strings("sources", findings) {
            None if !section.has("sources") => {
                findings.error(section.at, format!("{title} has no \"sources\""));
            }
            Some(list) if list.value.is_empty() => {
                findings.error(list.at, format!("\"sources\" is empty, so {title} names nobody"));
            }
            Some(list) => {
                let place = self.names.len();
                self.names.push(name.map_or("", |name| name.value).into());
                for text in list.value {
                    let Some(network) = read_network(text, findings) else { continue };
                    if let Some(other) = self.insert(canonical(network), place) {
                        findings.error(text.at, format!("{:?} stands under {title} {other:?} already", text.value));
                    }
                }
            }
            None => {}
        }
    }

    /// Adds a network; the name that it has already, if it has one.
    fn insert(&mut self, network: IpNet, place: usize) -> Option<&str> {
        match self.networks.binary_search_by_key(&network, |(known, _)| *known) {
            Ok(found) => {
                let (_, place) = self.networks.get(found)?;
                return self.names.get(*place).map(|name| &**name);
            }
            Err(gap) => self.networks.insert(gap, (network, place)),
        }
        let lengths = if network.addr().is_ipv4() { &mut self.v4_lengths } else { &mut self.v6_lengths };
        if let Err(gap) = lengths.binary_search_by(|known| network.prefix_len().cmp(known)) {
            lengths.insert(gap, network.prefix_len());
        }
        None
    }

    /// The name of the narrowest network that holds `address`.
    pub(super) fn find(&self, address: IpAddr) -> Option<&str> {
        let address = address.to_canonical();
        let lengths = if address.is_ipv4() { &self.v4_lengths } else { &self.v6_lengths };
        let place = lengths.iter().find_map(|&length| {
            let network = IpNet::new(address, length).ok()?.trunc();
            let found = self.networks.binary_search_by_key(&network, |(known, _)| *known).ok()?;
            self.networks.get(found).map(|(_, place)| *place)
        })?;
        self.names.get(place).map(|name| &**name)
    }

    /// Whether there is one of that name, and where.
    pub(super) fn place_of(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| &**known == name)
    }

    /// First and last address of each network.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        self.networks.iter().map(|(network, _)| (network.network(), network.broadcast()))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }
}

impl Snapshot {
    /// The `[[site]]` that a source belongs to.
    pub fn site_of(&self, source: IpAddr) -> Option<&str> {
        self.sites.find(source)
    }

    /// The `[[user]]` whose source it is: who a flow's user is when nothing better tells.
    pub fn user_of(&self, source: IpAddr) -> Option<&str> {
        self.users.find(source)
    }
}

/// A network of v4-mapped addresses is the IPv4 network: sources are looked for in that form.
fn canonical(network: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let IpNet::V6(wide) = network else { return network };
    let inner = wide.addr().to_ipv4_mapped().zip(wide.prefix_len().checked_sub(MAPPED_BITS));
    inner.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(network, IpNet::V4)
}
