//! Application protocols (RFC 7301): what a client offers, as it is passed on to the origin, and what the origin chose.
//!
//! The origin decides. Were the appliance to choose, it would have to translate between two versions of HTTP.

use std::sync::Arc;

/// A protocol that inspected flows speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alpn {
    /// HTTP/1.1.
    Http11,
    /// HTTP/2 over TLS.
    Http2,
}

impl Alpn {
    /// The name on the wire, <https://www.iana.org/assignments/tls-extensiontype-values>.
    pub(crate) const fn name(self) -> &'static [u8] {
        match self {
            Self::Http11 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }

    /// The protocol of that name, if it is one of these.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        [Self::Http11, Self::Http2].into_iter().find(|known| known.name() == name)
    }
}

/// A client's list, cut to what inspected flows speak, in the client's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Offer {
    /// HTTP/1.1 before HTTP/2.
    Both,
    /// HTTP/2 before HTTP/1.1, as browsers do.
    BothHttp2First,
    /// HTTP/1.1 alone.
    Http11,
    /// HTTP/2 alone.
    Http2,
    /// The client sent no list.
    Nothing,
}

impl Offer {
    /// Cuts the names of a ClientHello; `None` when it has a list, and nothing on it is spoken.
    pub(crate) fn of<'a>(names: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut offer = Self::Nothing;
        let mut listed = false;
        for name in names {
            listed = true;
            offer = match (offer, Alpn::named(name)) {
                (Self::Nothing, Some(Alpn::Http11)) => Self::Http11,
                (Self::Nothing, Some(Alpn::Http2)) => Self::Http2,
                (Self::Http11, Some(Alpn::Http2)) => Self::Both,
                (Self::Http2, Some(Alpn::Http11)) => Self::BothHttp2First,
                (offer, _) => offer,
            };
        }
        (!listed || offer != Self::Nothing).then_some(offer)
    }

    pub(super) const fn protocols(self) -> &'static [Alpn] {
        match self {
            Self::Both => &[Alpn::Http11, Alpn::Http2],
            Self::BothHttp2First => &[Alpn::Http2, Alpn::Http11],
            Self::Http11 => &[Alpn::Http11],
            Self::Http2 => &[Alpn::Http2],
            Self::Nothing => &[],
        }
    }
}

/// One configuration for each list that can go out. They share all but the list.
pub(super) struct PerOffer<Config> {
    both: Arc<Config>,
    both_http2_first: Arc<Config>,
    http11: Arc<Config>,
    http2: Arc<Config>,
    nothing: Arc<Config>,
}

impl<Config> PerOffer<Config> {
    /// Makes each by `with`, which is given the names of its list.
    pub(super) fn new(with: impl Fn(Vec<Vec<u8>>) -> Config) -> Self {
        let with =
            |offer: Offer| Arc::new(with(offer.protocols().iter().map(|protocol| protocol.name().to_vec()).collect()));
        Self {
            both: with(Offer::Both),
            both_http2_first: with(Offer::BothHttp2First),
            http11: with(Offer::Http11),
            http2: with(Offer::Http2),
            nothing: with(Offer::Nothing),
        }
    }

    pub(super) const fn find(&self, offer: Offer) -> &Arc<Config> {
        match offer {
            Offer::Both => &self.both,
            Offer::BothHttp2First => &self.both_http2_first,
            Offer::Http11 => &self.http11,
            Offer::Http2 => &self.http2,
            Offer::Nothing => &self.nothing,
        }
    }
}

/// One configuration for each answer that an origin can give: one protocol, or none.
pub(super) struct PerChoice<Config> {
    http11: Arc<Config>,
    http2: Arc<Config>,
    none: Arc<Config>,
}

impl<Config> PerChoice<Config> {
    /// Makes each by `with`, which is given the name of the one protocol.
    pub(super) fn new(with: impl Fn(Vec<Vec<u8>>) -> Config) -> Self {
        let with = |names| Arc::new(with(names));
        Self {
            http11: with(vec![Alpn::Http11.name().to_vec()]),
            http2: with(vec![Alpn::Http2.name().to_vec()]),
            none: with(Vec::new()),
        }
    }

    pub(super) const fn find(&self, choice: Option<Alpn>) -> &Arc<Config> {
        match choice {
            Some(Alpn::Http11) => &self.http11,
            Some(Alpn::Http2) => &self.http2,
            None => &self.none,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(names: &[&[u8]]) -> Option<Offer> {
        Offer::of(names.iter().copied())
    }

    #[test]
    fn h022_a_list_is_cut_to_what_is_spoken_in_the_clients_order() {
        assert_eq!(offer(&[]), Some(Offer::Nothing));
        assert_eq!(offer(&[b"http/1.1"]), Some(Offer::Http11));
        assert_eq!(offer(&[b"\x0a\x0a", b"http/1.1", b"http/1.0", b"http/1.1"]), Some(Offer::Http11));
        assert_eq!(offer(&[b"http/1.0", b"h2", b"h3", b"http/1.1", b"h2"]), Some(Offer::BothHttp2First));
        assert_eq!(offer(&[b"http/1.1", b"h2"]), Some(Offer::Both));
        assert_eq!(offer(&[b"h2", b"h2"]), Some(Offer::Http2));
        assert_eq!(offer(&[b"http/1.0", b"h3", b"H2", b"HTTP/1.1", b"", b"h2c"]), None);
    }
}
