//! Downstream legs by BoringSSL: the configurations of one leaf, made when a flow first needs them.
//!
//! The keys of session tickets are each configuration's own, made and changed by BoringSSL: so a ticket resumes on the
//! shard that gave it, with the leaf that it was given under, and never for another name.

use std::sync::{Arc, OnceLock};

use boring::error::ErrorStack;
use boring::pkey::{PKey, Private};
use boring::ssl::{
    AlpnError, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslVersion,
};
use boring::x509::X509;
use penstock_core::flow::FaultKind;
use rustls_pki_types::CertificateDer;

use super::super::alpn::{Alpn, PerChoice};
use super::super::engine::Engine;
use super::connection::BoringEngine;
use super::origins::{GROUPS, SUITES};

/// The key that all leaves of an issuer share.
#[derive(Clone)]
pub(in crate::tls) struct LeafKey(PKey<Private>);

impl LeafKey {
    /// Reads a key in PKCS#8; `None` when it is none.
    pub(in crate::tls) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        PKey::private_key_from_pkcs8(der).ok().map(Self)
    }
}

/// Serves one leaf.
pub(in crate::tls) struct Serving {
    chain: Arc<[CertificateDer<'static>]>,
    key: LeafKey,
    contexts: PerChoice<Choice>,
}

/// The configuration for one answer of an origin.
struct Choice {
    protocol: Option<Vec<u8>>,
    context: OnceLock<SslContext>,
}

impl Serving {
    pub(in crate::tls) fn new(chain: Arc<[CertificateDer<'static>]>, key: LeafKey) -> Self {
        let contexts = PerChoice::new(|names| Choice { protocol: names.into_iter().next(), context: OnceLock::new() });
        Self { chain, key, contexts }
    }

    /// Begins a downstream leg in the protocol that the origin chose.
    pub(in crate::tls) fn begin(&self, choice: Option<Alpn>) -> Result<Box<dyn Engine>, FaultKind> {
        let choice = self.contexts.find(choice);
        let context = match choice.context.get() {
            Some(context) => context,
            None => {
                let context = self.context(choice.protocol.clone()).map_err(|_| FaultKind::Tls)?;
                choice.context.get_or_init(|| context)
            }
        };
        let ssl = Ssl::new(context).map_err(|_| FaultKind::Tls)?;
        Ok(Box::new(BoringEngine::downstream(ssl)?))
    }

    /// As strict as the other engine's: TLS 1.2 and 1.3, no renegotiation, no early data, sessions in tickets alone.
    fn context(&self, protocol: Option<Vec<u8>>) -> Result<SslContext, ErrorStack> {
        let mut builder = SslContextBuilder::new(SslMethod::tls())?;
        builder.set_session_cache_mode(SslSessionCacheMode::OFF);
        builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
        builder.set_curves_list(GROUPS)?;
        builder.set_strict_cipher_list(SUITES)?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        builder.set_max_proto_version(Some(SslVersion::TLS1_3))?;
        let mut chain = self.chain.iter();
        if let Some(leaf) = chain.next() {
            builder.set_certificate(&*X509::from_der(leaf)?)?;
        }
        for certificate in chain {
            builder.add_extra_chain_cert(X509::from_der(certificate)?)?;
        }
        builder.set_private_key(&self.key.0)?;
        if let Some(protocol) = protocol {
            builder.set_alpn_select_callback(move |_, offered| find(offered, &protocol).ok_or(AlpnError::ALERT_FATAL));
        }
        Ok(builder.build())
    }
}

/// `protocol` among the names of a list on the wire (RFC 7301 section 3.1), in the list's own memory.
fn find<'a>(mut offered: &'a [u8], protocol: &[u8]) -> Option<&'a [u8]> {
    while let [length, rest @ ..] = offered {
        let (name, others) = rest.split_at_checked(usize::from(*length))?;
        if name == protocol {
            return Some(name);
        }
        offered = others;
    }
    None
}
