//! Sets of source addresses and of users, and the cohort of a staged rollout.
//!
//! Networks become disjoint ranges in order, so that a long list costs a binary search. An IPv4 address inside IPv6
//! (`::ffff:10.0.0.1`) is the IPv4 address: a dual-stack listener reports it that way.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use hashbrown::HashTable;
use ipnet::IpNet;

/// A set of networks.
#[derive(Debug, Default)]
pub(super) struct SourceSet {
    v4: Vec<Range<u32>>,
    v6: Vec<Range<u128>>,
}

#[derive(Clone, Copy, Debug)]
struct Range<T> {
    first: T,
    last: T,
}

impl SourceSet {
    pub(super) fn new(networks: &[IpNet]) -> Self {
        let mut set = Self::default();
        for network in networks {
            match (network.network().to_canonical(), network.broadcast().to_canonical()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => set.v4.push(Range { first: first.into(), last: last.into() }),
                (IpAddr::V6(first), IpAddr::V6(last)) => set.v6.push(Range { first: first.into(), last: last.into() }),
                // One end alone is canonical when the network is wider than the mapped range, as ::/0 is.
                (first, last) => {
                    set.v6.push(Range { first: v6(first), last: v6(last) });
                }
            }
        }
        merge(&mut set.v4);
        merge(&mut set.v6);
        set
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => find(&self.v4, address.into()),
            IpAddr::V6(address) => find(&self.v6, address.into()),
        }
    }
}

impl SourceSet {
    /// First and last address of each range.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> {
        let v4 = self.v4.iter().map(|range| (IpAddr::V4(range.first.into()), IpAddr::V4(range.last.into())));
        v4.chain(self.v6.iter().map(|range| (IpAddr::V6(range.first.into()), IpAddr::V6(range.last.into()))))
    }

    /// Whether it holds every network of the other one.
    pub(super) fn covers(&self, other: &Self) -> bool {
        covers(&self.v4, &other.v4) && covers(&self.v6, &other.v6)
    }
}

fn covers<T: Ord + Copy>(ranges: &[Range<T>], others: &[Range<T>]) -> bool {
    others.iter().all(|other| ranges.iter().any(|range| range.first <= other.first && other.last <= range.last))
}

fn v6(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// Sorts, and joins ranges that overlap; networks do only when one holds the other.
fn merge<T: Ord + Copy>(ranges: &mut Vec<Range<T>>) {
    ranges.sort_unstable_by_key(|range| range.first);
    ranges.dedup_by(|later, kept| {
        let joins = later.first <= kept.last;
        if joins {
            kept.last = kept.last.max(later.last);
        }
        joins
    });
}

fn find<T: Ord + Copy>(ranges: &[Range<T>], address: T) -> bool {
    let after = ranges.partition_point(|range| range.first <= address);
    after.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|range| address <= range.last)
}

/// A set of users and of groups (`group:NAME`), compared without regard to ASCII case.
#[derive(Debug, Default)]
pub(super) struct UserSet {
    /// Groups with their prefix: no user's name holds a colon.
    users: HashTable<Box<str>>,
}

/// What stands before the name of a group in a list of users.
pub(super) const GROUP_PREFIX: &str = "group:";

impl UserSet {
    pub(super) fn insert(&mut self, user: &str) {
        if !self.contains(user) {
            self.users.insert_unique(hash(user.bytes(), USER_SEED), user.into(), |user| hash(user.bytes(), USER_SEED));
        }
    }

    /// Whether the user is in the set, by name or by one of the groups.
    pub(super) fn covers(&self, user: &str, groups: &[String]) -> bool {
        self.contains(user) || groups.iter().any(|group| self.contains_group(group))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.users.iter().map(|user| &**user)
    }

    fn contains_group(&self, group: &str) -> bool {
        let spelled = || GROUP_PREFIX.bytes().chain(group.bytes());
        let is_it = |known: &str| {
            known.len() == GROUP_PREFIX.len() + group.len()
                && known.bytes().zip(spelled()).all(|(known, byte)| known.eq_ignore_ascii_case(&byte))
        };
        self.users.find(hash(spelled(), USER_SEED), |known| is_it(known)).is_some()
    }

    fn contains(&self, user: &str) -> bool {
        self.users.find(hash(user.bytes(), USER_SEED), |known| known.eq_ignore_ascii_case(user)).is_some()
    }
}

/// Whether a user, or else a source, belongs to the first `percent` of all in the rollout of `profile`.
///
/// The same on every node and in every run, and whoever is in at 10 per cent is in at 20. The hash is fixed: choosing a
/// user name to land in a cohort gains nothing that the operator does not see.
pub(super) fn in_rollout(percent: u8, profile: &str, user: Option<&str>, source: IpAddr) -> bool {
    if percent >= 100 {
        return true;
    }
    let seed = hash(profile.bytes(), ROLLOUT_SEED);
    let bucket = match (user, source.to_canonical()) {
        (Some(user), _) => hash(user.bytes(), seed),
        (None, IpAddr::V4(source)) => hash(source.octets(), seed),
        (None, IpAddr::V6(source)) => hash(source.octets(), seed),
    };
    bucket % 100 < u64::from(percent)
}

const USER_SEED: u64 = 0;
const ROLLOUT_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// FNV-1a over bytes with ASCII case folded, and the finaliser of MurmurHash3, so that the low digits are even too.
/// Written out, because the rollout must not move when a dependency changes its hash.
fn hash(bytes: impl IntoIterator<Item = u8>, seed: u64) -> u64 {
    let mut hash = bytes.into_iter().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    });
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(networks: &[&str]) -> SourceSet {
        SourceSet::new(&networks.iter().map(|network| network.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn networks_hold_their_ends_and_nothing_beyond() {
        let set = set(&["10.0.0.0/8", "10.20.0.0/16", "192.168.1.7/32", "fd00::/8", "::1/128"]);
        for inside in ["10.0.0.0", "10.255.255.255", "10.20.0.1", "192.168.1.7", "fdff::1", "::1", "::ffff:10.1.2.3"] {
            assert!(set.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["9.255.255.255", "11.0.0.0", "192.168.1.6", "192.168.1.8", "fe00::", "::2", "::ffff:11.0.0.0"] {
            assert!(!set.contains(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn mapped_networks_are_ipv4_and_everything_is_everything() {
        assert!(set(&["::ffff:10.0.0.0/104"]).contains("10.9.9.9".parse().unwrap()));
        assert!(!set(&["0.0.0.0/0"]).contains("2001:db8::1".parse().unwrap()));
        assert!(set(&["::/0"]).contains("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn users_are_compared_without_case() {
        let mut users = UserSet::default();
        users.insert("Alice@Contoso.com");
        assert!(users.contains("alice@contoso.COM"));
        assert!(!users.contains("bob@contoso.com"));
    }

    #[test]
    fn a_group_covers_its_members_and_nobody_of_its_name() {
        let mut users = UserSet::default();
        users.insert("Group:Finance");
        let groups = |names: &[&str]| names.iter().map(|&name| String::from(name)).collect::<Vec<_>>();
        assert!(users.covers("alice", &groups(&["staff", "FINANCE"])));
        assert!(!users.covers("alice", &groups(&["staff", "finance2", "group:finance"])));
        assert!(!users.covers("finance", &[]));
        assert!(!users.covers("alice", &[]));
    }

    #[test]
    fn a_cohort_is_stable_and_grows_with_the_percentage() {
        let source: IpAddr = "10.0.0.1".parse().unwrap();
        // These hold for all time: a change moves users between cohorts of running rollouts.
        let known = [("alice@contoso.com", "staff"), ("bob@contoso.com", "staff"), ("carol@contoso.com", "pilot")];
        let first_in = known.map(|(user, profile)| (0..=100).find(|&p| in_rollout(p, profile, Some(user), source)));
        assert_eq!(first_in, [Some(73), Some(31), Some(73)]);
        for percent in 0..100 {
            for user in ["a", "b", "c", "d"] {
                let smaller = in_rollout(percent, "staff", Some(user), source);
                assert!(!smaller || in_rollout(percent + 1, "staff", Some(user), source));
            }
        }
        assert!(!in_rollout(0, "staff", Some("a"), source));
        assert!(in_rollout(100, "staff", None, source));
    }

    #[test]
    fn a_mapped_source_is_in_the_cohort_of_its_ipv4_address() {
        for last in 0..=255 {
            let v4: IpAddr = core::net::Ipv4Addr::new(10, 0, 0, last).into();
            let mapped: IpAddr = core::net::Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped().into();
            assert_eq!(in_rollout(30, "staff", None, v4), in_rollout(30, "staff", None, mapped));
        }
    }
}
