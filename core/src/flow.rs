//! Ids, legs, phases and faults of a flow: one vocabulary for errors, metric labels and audit fields.
//!
//! Each part of a [`Fault`] has a `const` label that is used verbatim as metric label and audit field, so the three can
//! never disagree. The network never makes a label.

use core::fmt;

/// A value from a closed set that can stand as a metric label and index a table of cells.
pub trait Label: Copy + 'static {
    /// How many values the set has.
    const COUNT: usize;
    /// This value's place in the set, below [`Self::COUNT`].
    fn index(self) -> usize;
    /// The label of the value at `index`; the empty string past the end.
    fn label_at(index: usize) -> &'static str;
}

/// Declares an enum whose variants have labels: the set is closed and known when the crate is compiled.
#[macro_export]
macro_rules! labelled {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// Every value, in the order of their indices.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word for this value in metrics, audit and messages.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }

        impl $crate::flow::Label for $name {
            const COUNT: usize = Self::ALL.len();
            fn index(self) -> usize {
                self as usize
            }
            fn label_at(index: usize) -> &'static str {
                Self::ALL.get(index).map_or("", |value| value.label())
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.label())
            }
        }
    };
}

/// Names one flow for its whole life; `generation` tells two users of one slot apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowId {
    /// The shard that owns the flow.
    pub shard: u16,
    /// Its place in that shard's flow table.
    pub slot: u32,
    /// How many flows of that shard came before.
    pub generation: u32,
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:x}", self.shard, self.slot, self.generation)
    }
}

labelled! {
    /// One side of a flow.
    pub enum Leg {
        /// The inside host that opened the connection.
        Downstream = "downstream",
        /// The origin that it wants.
        Upstream = "upstream",
    }
}

labelled! {
    /// Which way bytes go.
    pub enum Direction {
        /// From downstream to upstream.
        Egress = "egress",
        /// From upstream to downstream.
        Ingress = "ingress",
    }
}

labelled! {
    /// What moved the bytes.
    pub enum RelayPath {
        /// Through user space, unchanged.
        Copy = "copy",
        /// Through both TLS engines and the header editor.
        Edit = "edit",
        /// In the kernel, by `splice(2)`.
        Splice = "splice",
    }
}

labelled! {
    /// Where in its life a flow was when a fault struck.
    pub enum Phase {
        /// Taking the connection and its place in the flow table.
        Accept = "accept",
        /// Deciding.
        Decide = "decide",
        /// Connecting to the upstream.
        Dial = "dial",
        /// Editing requests and reading responses.
        Edit = "edit",
        /// A TLS handshake.
        Handshake = "handshake",
        /// Minting a leaf.
        Mint = "mint",
        /// Reading a PROXY protocol header.
        ProxyHeader = "proxy_header",
        /// The explicit proxy's request head.
        Request = "request",
        /// Moving bytes.
        Relay = "relay",
        /// Resolving a name.
        Resolve = "resolve",
        /// Any moment: the fault is this program's own.
        Serve = "serve",
        /// Reading the ClientHello.
        Sniff = "sniff",
        /// Checking the upstream's certificate.
        Verify = "verify",
    }
}

labelled! {
    /// What went wrong.
    pub enum FaultKind {
        /// The peer's name or address is one that is never dialled (private, loopback, metadata).
        AddressForbidden = "address_forbidden",
        /// The origin chose another application protocol than the last time, by which the client was answered.
        AlpnChanged = "alpn_changed",
        /// A certificate was refused.
        Certificate = "certificate",
        /// A certificate for another name.
        CertificateName = "certificate_name",
        /// A certificate that is past its end or before its start.
        CertificateTime = "certificate_time",
        /// A certificate whose issuer is not trusted.
        CertificateUnknown = "certificate_unknown",
        /// The peer asked for a client certificate.
        ClientCertificate = "client_certificate",
        /// The peer closed before it should.
        Closed = "closed",
        /// Nobody listens there.
        ConnectionRefused = "connection_refused",
        /// The peer reset the connection.
        ConnectionReset = "connection_reset",
        /// A deadline passed.
        Deadline = "deadline",
        /// This process is draining.
        Draining = "draining",
        /// The client takes note that Encrypted ClientHello was rejected, and tries again without (RFC 9849 section 6.1.6).
        EchRequired = "ech_required",
        /// A PROXY protocol header that must be there is not.
        HeaderMissing = "header_missing",
        /// The connection leads back to the listener that it came by, which would dial itself.
        Loop = "loop",
        /// A field of the message is not what it must be.
        Malformed = "malformed",
        /// The process is near its memory ceiling.
        Memory = "memory",
        /// The second ClientHello after a HelloRetryRequest names another host.
        NameChanged = "name_changed",
        /// Nothing says which host is meant: a ClientHello without a name, or no TLS at all.
        NameMissing = "name_missing",
        /// The name does not exist or has no address.
        NameNotFound = "name_not_found",
        /// No policy or issuer is in force yet.
        NotReady = "not_ready",
        /// A mistake of this program: what served the peer panicked.
        Panic = "panic",
        /// The parent proxy does not take our credentials.
        ParentCredentials = "parent_credentials",
        /// The parent proxy could not open a tunnel.
        ParentFailed = "parent_failed",
        /// The parent proxy would not open a tunnel.
        ParentRefused = "parent_refused",
        /// The operating system refused (descriptors, memory).
        Resource = "resource",
        /// The peer is none of those that a PROXY protocol header is taken from.
        SourceForbidden = "source_forbidden",
        /// The source has as many flows, or as many leaves minted in this second, as one may have.
        SourceFull = "source_full",
        /// The peer kept the other side waiting in the middle of something: did not read, granted no room, did not end a frame.
        Stalled = "stalled",
        /// A named bound of the product was reached.
        TooLarge = "too_large",
        /// Too many of something at once.
        TooMany = "too_many",
        /// A request's body came more slowly than the least that is borne with.
        TooSlow = "too_slow",
        /// A TLS alert or protocol error.
        Tls = "tls",
        /// The client does not trust the minted leaf (unknown_ca, bad_certificate).
        Untrusted = "untrusted",
        /// No route, network down, or another error of the network.
        Unreachable = "unreachable",
    }
}

/// A fault: whose side, when, what. `Copy`, never boxed, without strings from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The side that erred.
    pub leg: Leg,
    /// When.
    pub phase: Phase,
    /// What.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault of the inside host.
    pub const fn downstream(phase: Phase, kind: FaultKind) -> Self {
        Self { leg: Leg::Downstream, phase, kind }
    }

    /// A fault of the origin, or on the way to it.
    pub const fn upstream(phase: Phase, kind: FaultKind) -> Self {
        Self { leg: Leg::Upstream, phase, kind }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.leg, self.phase, self.kind)
    }
}

impl core::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn labels_are_words_and_each_stands_once() {
        for (index, kind) in FaultKind::ALL.iter().enumerate() {
            assert_eq!(kind.index(), index);
            assert_eq!(FaultKind::label_at(index), kind.label());
            assert!(kind.label().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert_eq!(FaultKind::ALL.iter().filter(|other| other.label() == kind.label()).count(), 1);
        }
        assert_eq!(FaultKind::label_at(FaultKind::COUNT), "");
    }

    #[test]
    fn a_fault_reads_leg_phase_kind() {
        let fault = Fault::upstream(Phase::Verify, FaultKind::CertificateName);
        assert_eq!(fault.to_string(), "upstream/verify/certificate_name");
    }
}
