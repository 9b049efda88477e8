//! An OpenID provider that says whatever a test has it say.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use ::aws_lc_rs::digest::{SHA256, digest};
use ::aws_lc_rs::hmac;
use ::aws_lc_rs::rand::SystemRandom;
use ::aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use penstock_tests::certificate::{Shown, TestAuthority};
use rustls::crypto::aws_lc_rs;
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

pub(crate) const CLIENT_SECRET: &str = "the secret of the client";

/// A key by its name.
pub(crate) struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

/// What it says and was asked.
#[derive(Default)]
pub(crate) struct Said {
    /// The answer of the token endpoint.
    pub(crate) token: Value,
    /// The keys that it publishes.
    pub(crate) keys: Value,
    /// Whether it promises to name itself in answers (RFC 9207).
    pub(crate) names_itself: bool,
    /// Path, head and body of each request.
    pub(crate) asked: Vec<(String, String, String)>,
}

pub(crate) struct Provider {
    issuer: String,
    pub(crate) said: Arc<Mutex<Said>>,
    pub(crate) key: Key,
}

impl Key {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    pub(crate) fn published(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (encode(&point[1..33]), encode(&point[33..65]));
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": x, "y": y }] })
    }

    /// A token that it signs.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let text = unsigned(&json!({ "alg": "ES256", "kid": self.id }), claims);
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", encode(signature.as_ref()))
    }
}

/// A token that nobody signs.
pub(crate) fn sign_by_nothing(claims: &Value) -> String {
    format!("{}.", unsigned(&json!({ "alg": "none" }), claims))
}

/// A token that whoever knows the client's secret can make.
pub(crate) fn sign_by_secret(claims: &Value) -> String {
    let text = unsigned(&json!({ "alg": "HS256" }), claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, CLIENT_SECRET.as_bytes());
    format!("{text}.{}", encode(hmac::sign(&key, text.as_bytes()).as_ref()))
}

fn unsigned(head: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(head.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The challenge of a PKCE verifier (RFC 7636 section 4.2).
pub(crate) fn challenge(verifier: &str) -> String {
    encode(digest(&SHA256, verifier.as_bytes()).as_ref())
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Provider {
    pub(crate) fn start() -> Self {
        Self::start_at(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn start_at(listener: TcpListener) -> Self {
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(listener, issuer, answer)
    }

    /// By TLS, with a certificate of that authority.
    pub(crate) fn start_tls(authority: &TestAuthority) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = authority.certify("localhost", Shown::Good);
        let resolver = Arc::new(SingleCertAndKey::from((*key).clone()));
        let config = Arc::new(builder.with_no_client_auth().with_cert_resolver(resolver));
        Self::serve(listener, issuer, move |stream, issuer, said| {
            answer(StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream), issuer, said);
        })
    }

    fn serve(
        listener: TcpListener,
        issuer: String,
        answer: impl Fn(TcpStream, &str, &Mutex<Said>) + Send + 'static,
    ) -> Self {
        let key = Key::new("one");
        let said = Arc::new(Mutex::new(Said { keys: key.published(), ..Said::default() }));
        let (kept, own) = (Arc::clone(&said), issuer.clone());
        thread::spawn(move || listener.incoming().for_each(|stream| answer(stream.unwrap(), &own, &kept)));
        Self { issuer, said, key }
    }

    /// What it calls itself.
    pub(crate) fn issuer(&self) -> String {
        self.issuer.clone()
    }

    /// Claims that are in order, for the nonce of a sign-in.
    pub(crate) fn claims(&self, nonce: &str) -> Value {
        let (issuer, now) = (self.issuer(), now());
        json!({
            "iss": issuer, "sub": "subject-1", "aud": "penstock", "iat": now, "exp": now + 300, "nonce": nonce,
            "preferred_username": "alice", "groups": ["staff", "egress-operators"],
        })
    }

    /// Has it give this ID token for the next code.
    pub(crate) fn give(&self, token: &str) {
        self.said.lock().unwrap().token =
            json!({ "access_token": "a", "token_type": "Bearer", "expires_in": 60, "id_token": token });
    }

    pub(crate) fn asked(&self, path: &str) -> Vec<(String, String)> {
        let said = self.said.lock().unwrap();
        let of = said.asked.iter().filter(|(asked, _, _)| asked == path);
        of.map(|(_, head, body)| (head.clone(), body.clone())).collect()
    }
}

fn answer(stream: impl Read + Write, issuer: &str, said: &Mutex<Said>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let mut said = said.lock().unwrap();
    said.asked.push((path.clone(), head, String::from_utf8(body).unwrap()));
    let told = match path.as_str() {
        "/.well-known/openid-configuration" => json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
            "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
            "authorization_response_iss_parameter_supported": said.names_itself,
        }),
        "/keys" => said.keys.clone(),
        "/token" => said.token.clone(),
        _ => Value::Null,
    };
    drop(said);
    let status = if told["error"].is_null() { "200 OK" } else { "400 Bad Request" };
    let told = told.to_string();
    let reply = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{told}",
        told.len()
    );
    drop(reader.get_mut().write_all(reply.as_bytes()));
}
