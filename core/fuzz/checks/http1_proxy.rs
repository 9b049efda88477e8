//! What must hold for any bytes on the explicit proxy's listener that ask for plain HTTP: what goes to origins is strict
//! HTTP/1.1 in origin-form with each header exactly once and nothing that was meant for the proxy, and how the bytes were cut
//! into reads makes no difference.

#[path = "../../tests/http1/proxy.rs"]
mod proxy;
#[path = "../../tests/http1/strict.rs"]
mod strict;

use penstock_core::policy::Mode;

/// The first byte says how the rest is cut.
pub(crate) fn check(data: &[u8]) {
    let Some((&size, input)) = data.split_first() else { return };
    let cuts: Vec<usize> = (0..input.len()).step_by(usize::from(size).max(1)).collect();
    let whole = proxy::run(input, &[], Mode::Enforce);
    let split = proxy::run(input, &cuts, Mode::Enforce);
    assert_eq!(whole.fault, split.fault);
    assert!(split.upstream.starts_with(&whole.upstream));
    for outcome in [whole, split] {
        let (seen, tail) = strict::requests(&outcome.upstream);
        assert_eq!(seen.len(), outcome.requests);
        assert_ne!(tail, strict::Tail::Head);
        for request in &seen {
            strict::check_invariant(request, proxy::SET);
        }
        let text = String::from_utf8_lossy(&outcome.upstream).to_ascii_lowercase();
        assert!(!text.starts_with("get http"));
    }
}
