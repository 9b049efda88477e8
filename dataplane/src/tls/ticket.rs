//! Session tickets of the downstream leg: the keys that seal them, and who may open them.
//!
//! One [`TicketKeyring`] per process, read by all shards without a lock. Control sends the fleet's keys over the link,
//! the next one long before it seals, so that any node opens what another sealed; a node that has none of control's, or
//! whose last one is over, seals with a key of its own. Keys live in memory alone.
//!
//! ```text
//! ticket: [key's name 16][nonce 12][AES-256-GCM-SIV of the session][tag 16]
//! additional data: [key's name 16][SHA-256 of issuer, epoch and server name]
//! ```
//!
//! GCM-SIV, because many nodes draw nonces for one key: a nonce that repeats then tells no more than that two sessions
//! are equal.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use penstock_core::limits::{TICKET_KEY_SECONDS, TICKET_KEYS_MAX, TICKET_LIFE_SECONDS};
use penstock_core::sni::Sni;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

/// What a ticket is good for besides its key: an issuer, a policy epoch, a server name.
type Binding = [u8; 32];

const NAME_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;

/// One key; AWS-LC wipes it when it is dropped.
pub(crate) struct TicketKey {
    name: [u8; NAME_BYTES],
    cipher: LessSafeKey,
    /// Unix second from which it seals.
    seals_from: i64,
    /// Unix second from which it seals no more; it opens for [`TICKET_LIFE_SECONDS`] longer.
    seals_until: i64,
}

impl TicketKey {
    /// Takes what control sent; `None` when a part has the wrong length, or the period is empty or longer than keys last.
    pub(crate) fn new(name: &[u8], secret: &[u8], seals_from: i64, seals_until: i64) -> Option<Self> {
        let period = seals_until.checked_sub(seals_from)?;
        if secret.len() != SECRET_BYTES || !(1..=TICKET_KEY_SECONDS).contains(&period) {
            return None;
        }
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, secret).ok()?);
        Some(Self { name: name.try_into().ok()?, cipher, seals_from, seals_until })
    }

    /// A random key for the time from `now`.
    fn own(now: i64) -> Option<Self> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        let mut name = [0; NAME_BYTES];
        aws_lc_rs::rand::fill(secret.as_mut_slice()).ok()?;
        aws_lc_rs::rand::fill(&mut name).ok()?;
        Self::new(&name, secret.as_slice(), now, now.checked_add(TICKET_KEY_SECONDS)?)
    }

    const fn seals(&self, now: i64) -> bool {
        self.seals_from <= now && now < self.seals_until
    }

    const fn opens(&self, now: i64) -> bool {
        now < self.seals_until.saturating_add(TICKET_LIFE_SECONDS)
    }

    fn additional(&self, binding: &Binding) -> Aad<[u8; NAME_BYTES + 32]> {
        let mut additional = [0; NAME_BYTES + 32];
        let (name, bound) = additional.split_at_mut(NAME_BYTES);
        name.copy_from_slice(&self.name);
        bound.copy_from_slice(binding);
        Aad::from(additional)
    }

    fn seal(&self, binding: &Binding, session: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(NAME_BYTES + NONCE_LEN + session.len() + AES_256_GCM_SIV.tag_len());
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(session);
        let sealed = ticket.get_mut(NAME_BYTES + NONCE_LEN..)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.cipher.seal_in_place_separate_tag(nonce, self.additional(binding), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    /// `sealed`: what stands behind the name.
    fn open(&self, binding: &Binding, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut session = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.cipher.open_in_place(nonce, self.additional(binding), &mut session).ok()?.len();
        session.truncate(length);
        Some(session)
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seals_from, seals_until, .. } = self;
        f.debug_struct("TicketKey").field("from", seals_from).field("until", seals_until).finish_non_exhaustive()
    }
}

/// All keys at one moment; replaced whole.
#[derive(Clone, Debug, Default)]
struct Keys {
    /// As control last sent them.
    fleet: Vec<Arc<TicketKey>>,
    /// The node's own.
    own: Option<Arc<TicketKey>>,
    /// They seal no more, and open what they sealed; newest last.
    former: Vec<Arc<TicketKey>>,
}

impl Keys {
    /// The fleet's newest key before the node's own.
    fn sealing(&self, now: i64) -> Option<&TicketKey> {
        let fleet = self.fleet.iter().filter(|key| key.seals(now)).max_by_key(|key| key.seals_from);
        fleet.or_else(|| self.own.as_ref().filter(|key| key.seals(now))).map(|key| &**key)
    }

    fn find(&self, name: &[u8], now: i64) -> Option<&TicketKey> {
        let mut all = self.fleet.iter().chain(&self.own).chain(&self.former);
        all.find(|key| key.name == name && key.opens(now)).map(|key| &**key)
    }

    /// Puts away what came before, as far as it still opens anything.
    fn retire(&mut self, before: impl IntoIterator<Item = Arc<TicketKey>>, now: i64) {
        self.former.extend(before);
        let current: Vec<_> = self.fleet.iter().chain(&self.own).map(|key| key.name).collect();
        self.former.retain(|key| key.opens(now) && !current.contains(&key.name));
        let room = TICKET_KEYS_MAX.saturating_sub(current.len());
        let excess = self.former.len().saturating_sub(room);
        self.former.drain(..excess);
    }
}

/// The process's ticket keys.
pub(crate) struct TicketKeyring {
    keys: ArcSwap<Keys>,
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
}

impl TicketKeyring {
    /// With a key of its own, by the system's clock.
    pub(crate) fn new() -> Self {
        Self::with_clock(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
    }

    /// By another clock, which answers Unix seconds.
    pub(crate) fn with_clock(clock: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        let keyring = Self { keys: ArcSwap::default(), clock: Box::new(clock) };
        keyring.tend();
        keyring
    }

    /// Seals with control's keys from now on. What was sealed before stays good for its time.
    pub(crate) fn install(&self, fleet: Vec<TicketKey>) {
        let now = (self.clock)();
        let fleet: Vec<_> = fleet.into_iter().filter(|key| key.opens(now)).take(FLEET_KEYS_MAX).map(Arc::new).collect();
        self.keys.rcu(|keys| {
            let mut next = Keys::clone(keys);
            let before = std::mem::replace(&mut next.fleet, fleet.clone());
            next.retire(before, now);
            next
        });
    }

    /// Forgets keys whose time is over, and renews the node's own. Called every minute, off the shards.
    pub(crate) fn tend(&self) {
        let now = (self.clock)();
        let needed = !self.keys.load().own.as_ref().is_some_and(|key| key.seals(now));
        let fresh = if needed { TicketKey::own(now).map(Arc::new) } else { None };
        if needed && fresh.is_none() {
            tracing::error!("no random bytes for a ticket key: sessions are not resumed until there are");
        }
        self.keys.rcu(|keys| {
            let mut next = Keys::clone(keys);
            let over: Vec<_> = next.fleet.extract_if(.., |key| !key.opens(now)).collect();
            let before = fresh.as_ref().and_then(|fresh| next.own.replace(Arc::clone(fresh)));
            next.retire(over.into_iter().chain(before), now);
            next
        });
    }

    /// What rustls seals and opens tickets with for `name`, under one issuer and policy.
    pub(super) fn bound(self: &Arc<Self>, issuer: &[u8], epoch: u64, name: &Sni) -> Arc<dyn ProducesTickets> {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [issuer, &epoch.to_be_bytes(), name.as_str().as_bytes()] {
            // Lengths stand before what they measure, so that no two inputs read the same.
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut binding = Binding::default();
        binding.copy_from_slice(context.finish().as_ref());
        Arc::new(BoundTickets { keyring: Arc::clone(self), binding })
    }
}

impl fmt::Debug for TicketKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeyring").field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// The keyring, for one leaf.
#[derive(Debug)]
struct BoundTickets {
    keyring: Arc<TicketKeyring>,
    binding: Binding,
}

impl ProducesTickets for BoundTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(TICKET_LIFE_SECONDS).unwrap_or(0)
    }

    /// None without a key that is in its time: the client then gets no ticket, and its next handshake is a full one.
    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keyring.keys.load();
        keys.sealing((self.keyring.clock)())?.seal(&self.binding, session)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, sealed) = ticket.split_at_checked(NAME_BYTES)?;
        let keys = self.keyring.keys.load();
        keys.find(name, (self.keyring.clock)())?.open(&self.binding, sealed)
    }
}

/// Keys that control sends: before, now, next, and one to spare.
const FLEET_KEYS_MAX: usize = 4;

const _: () = assert!(FLEET_KEYS_MAX < TICKET_KEYS_MAX);
