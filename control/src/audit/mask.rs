//! Hides who somebody is in an event, and leaves what is needed to see what happens.

use penstock_core::audit::Event;

/// Masks the names of people. The same name always looks the same, and some different ones do too.
pub(crate) fn mask(event: &mut Event) {
    for name in [&mut event.user, &mut event.username].into_iter().flatten() {
        *name = masked(name);
    }
}

/// The first character, and the domain where there is one.
fn masked(name: &str) -> String {
    let (local, domain) = name.split_once('@').map_or((name, None), |(local, domain)| (local, Some(domain)));
    let first: String = local.chars().take(1).collect();
    domain.map_or_else(|| format!("{first}***"), |domain| format!("{first}***@{domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_first_character_and_the_domain_is_left() {
        let mut event =
            Event {
                user: Some("élodie".to_owned()), username: Some("e.m@contoso.com".to_owned()), ..Event::default()
            };
        mask(&mut event);
        assert_eq!(event.user.as_deref(), Some("é***"));
        assert_eq!(event.username.as_deref(), Some("e***@contoso.com"));
        mask(&mut event);
        assert_eq!(event.username.as_deref(), Some("e***@contoso.com"), "masked twice is masked once");
        assert_eq!(masked(""), "***");
    }
}
