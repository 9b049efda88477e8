//! What a minted leaf costs, in CPU time: the whole, and the encoding without its one signature.
//!
//! Floor to compare with: rcgen with one leaf key, 23 us.

use std::hint::black_box;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use criterion::{Criterion, criterion_group, criterion_main};
use penstock_bench::processor::thread_time;
use penstock_core::mint::{
    AuthorityRequest, CertificateFacts, LeafTemplate, PermittedNames, SignError, Signer, Validity, encode_issuer,
    encode_root,
};
use penstock_core::sni::Sni;

const NOW: i64 = 1_795_305_600;

struct Key(EcdsaKeyPair);

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.0.sign(&SystemRandom::new(), message).map_err(|_| SignError)?.as_ref().to_vec())
    }
}

/// Signs with 71 bytes of nothing.
struct NoKey;

impl Signer for NoKey {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(vec![0; 71])
    }
}

fn key() -> Result<(Key, Vec<u8>), Box<dyn std::error::Error>> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
    let public_key = pair.public_key().as_der()?.as_ref().to_vec();
    Ok((Key(pair), public_key))
}

fn template() -> Result<(LeafTemplate, Key, Validity), Box<dyn std::error::Error>> {
    let ((root_key, root_public), (issuer_key, issuer_public), (_, leaf_public)) = (key()?, key()?, key()?);
    let validity = Validity::from_now(NOW, 3650 * 86_400);
    let request = AuthorityRequest { common_name: "root", public_key: &root_public, serial: [1; 16], validity };
    let root = CertificateFacts::parse(&encode_root(&request, &root_key)?)?;
    let validity = Validity::from_now(NOW, 30 * 86_400);
    let request = AuthorityRequest { common_name: "issuer", public_key: &issuer_public, serial: [2; 16], validity };
    let hosts: Vec<String> = (0..100).map(|number| format!("login{number}.saas.example")).collect();
    let permitted = PermittedNames::from_patterns(hosts.iter().map(String::as_str))?;
    let issuer = CertificateFacts::parse(&encode_issuer(&request, &root, &permitted, &root_key)?)?;
    Ok((LeafTemplate::new(&issuer, &leaf_public)?, issuer_key, Validity::for_leaf(NOW, validity)))
}

fn mint(criterion: &mut Criterion) {
    let parts = template().ok().zip(Sni::parse(b"login42.saas.example").ok());
    let Some(((template, key, validity), name)) = parts else { return };
    let mut group = criterion.benchmark_group("mint");
    let signers: [(&str, &dyn Signer); 2] = [("leaf", &key), ("leaf-without-signature", &NoKey)];
    for (what, signer) in signers {
        group.bench_function(what, |bencher| {
            bencher.iter_custom(|iterations| {
                let started = thread_time();
                for _ in 0..iterations {
                    black_box(template.encode(black_box(&name), black_box([7; 16]), validity, signer).is_ok());
                }
                thread_time().saturating_sub(started)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, mint);
criterion_main!(benches);
