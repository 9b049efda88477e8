//! The members of the cluster: one is asked until it fails, then the next.
//!
//! A transaction that got no answer is tried again as it is; whoever makes one sees to it that a repeat is recognised.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};
use tower::service_fn;
use zeroize::Zeroizing;

use super::generated::auth_client::AuthClient;
use super::generated::kv_client::KvClient;
use super::generated::{AuthenticateRequest, TxnRequest, TxnResponse};
use crate::config::EtcdSettings;
use crate::peer;
use crate::store::StoreError;

/// The way to the cluster.
pub(super) struct Cluster {
    members: Vec<Member>,
    /// The one that is asked.
    current: AtomicUsize,
    user: Option<User>,
}

struct Member {
    label: String,
    channel: Channel,
}

struct User {
    name: String,
    password: Zeroizing<String>,
    /// What etcd gave for the password, until it no longer takes it.
    token: Mutex<Option<AsciiMetadataValue>>,
}

impl Cluster {
    /// Dials nobody yet. Within a runtime.
    pub(super) fn new(settings: &EtcdSettings) -> Result<Self, StoreError> {
        let away = |error: &dyn std::fmt::Display| StoreError::Away(error.to_string());
        let mut members = Vec::new();
        for (host, port) in &settings.endpoints {
            let label = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            let (host, port, tls) = (host.clone(), *port, settings.tls.clone());
            let dial = service_fn(move |_: Uri| {
                let (host, tls) = (host.clone(), tls.clone());
                async move { peer::dial(&host, port, tls.as_ref(), Some(b"h2")).await.map(TokioIo::new) }
            });
            // The connector sees to TLS.
            let endpoint = Endpoint::from_shared(format!("http://{label}")).map_err(|error| away(&error))?;
            let endpoint = endpoint.connect_timeout(PATIENCE).http2_keep_alive_interval(KEEP_ALIVE);
            let endpoint = endpoint.keep_alive_timeout(KEEP_ALIVE).keep_alive_while_idle(true);
            members.push(Member { label, channel: endpoint.connect_with_connector_lazy(dial) });
        }
        let user = match &settings.user {
            Some((name, file)) => {
                let password = peer::read_private(file).map_err(|error| away(&error))?;
                let password = Zeroizing::new(password.trim_end().to_owned());
                Some(User { name: name.clone(), password, token: Mutex::default() })
            }
            None => None,
        };
        Ok(Self { members, current: AtomicUsize::new(0), user })
    }

    /// Runs a transaction.
    pub(super) async fn run(&self, transaction: TxnRequest) -> Result<TxnResponse, StoreError> {
        let mut failure = None;
        for _ in 0..ATTEMPTS.max(2 * self.members.len()) {
            let Some((place, member)) = self.member() else { break };
            let asking = async {
                let mut client = KvClient::new(member.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
                client.txn(self.request(&member.channel, transaction.clone()).await?).await
            };
            let status = match timeout(PATIENCE, asking).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            let told = format!("etcd at {}: {}", member.label, status.message());
            if !self.is_worth_another(place, &status) {
                return Err(StoreError::Away(told));
            }
            failure = Some(told);
            sleep(PAUSE).await;
        }
        Err(StoreError::Away(failure.unwrap_or_else(|| "etcd has no member".to_owned())))
    }

    /// The member that is asked, and its place.
    fn member(&self) -> Option<(usize, &Member)> {
        let place = self.current.load(Ordering::Relaxed);
        Some((place, self.members.get(place % self.members.len().max(1))?))
    }

    /// The channel to the member that is asked, and its place.
    pub(super) fn channel(&self) -> Option<(usize, Channel)> {
        self.member().map(|(place, member)| (place, member.channel.clone()))
    }

    /// Puts the token on a question, where the cluster wants one.
    pub(super) async fn request<T>(&self, channel: &Channel, question: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(question);
        let Some(user) = &self.user else { return Ok(request) };
        let known = user.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let token = match known {
            Some(token) => token,
            None => {
                let (name, password) = (user.name.clone(), user.password.to_string());
                let mut client = AuthClient::new(channel.clone());
                let token = client.authenticate(AuthenticateRequest { name, password }).await?.into_inner().token;
                let token = AsciiMetadataValue::try_from(token).map_err(|error| Status::internal(error.to_string()))?;
                *user.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
                token
            }
        };
        request.metadata_mut().insert("token", token);
        Ok(request)
    }

    /// Whether the next attempt may do better than the one at the member of this place: another member, or another token.
    pub(super) fn is_worth_another(&self, place: usize, status: &Status) -> bool {
        match (status.code(), &self.user) {
            (Code::Unauthenticated, Some(user)) => {
                *user.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
                true
            }
            // What etcd itself says of a request is the same at every member.
            (Code::InvalidArgument | Code::PermissionDenied | Code::FailedPrecondition | Code::Unauthenticated, _) => {
                false
            }
            (Code::ResourceExhausted, _) => false,
            _ => {
                let next = place.wrapping_add(1);
                let _ = self.current.compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed);
                true
            }
        }
    }
}

/// Time for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A connection whose other end is gone is found out within two of these.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// A cluster that elects another leader takes a second or so.
const PAUSE: Duration = Duration::from_millis(300);
const ATTEMPTS: usize = 6;
/// A document at its longest, and some.
const ANSWER_BYTES_MAX: usize = penstock_link::MESSAGE_BYTES_MAX;
