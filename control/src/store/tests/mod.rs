//! One suite over every store: `access`, `events`, `node` and `policy` say what a store must do, the others run that on one
//! store each.

mod access;
mod etcd;
mod events;
mod lean;
mod node;
mod policy;
mod postgres;
mod shared;
mod sqlite;

/// A test of each function over a store that `$bed` makes, with what it lives in.
macro_rules! suite {
    ($module:ident, $bed:ident: $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                // Without what the machine lacks; it was said.
                let Some((_home, store)) = $bed() else { return };
                super::$module::$name(store.as_ref()).await;
            }
        )*
    };
}

macro_rules! events_suite {
    ($bed:ident) => {
        super::suite!(events, $bed:
            a_repeated_event_is_recorded_once
            a_sign_in_is_its_first_request
            an_exports_place_never_goes_back
            followers_miss_nothing_that_many_record_at_once
            hostile_text_is_recorded
            queries_find_what_filtering_by_hand_finds
            refusals_are_counted_by_what_they_have_in_common
            values_that_never_meet_are_not_found_together
        );
    };
}

macro_rules! policy_suite {
    ($bed:ident) => {
        super::suite!(policy, $bed:
            a_rollout_is_saved_by_who_saw_the_last_step
            a_long_document_comes_back_whole
            history_goes_back_in_pages
            of_many_who_publish_at_once_one_wins
        );
    };
}

/// Of everything that daemons may share beside policies and events.
macro_rules! shared_suite {
    ($bed:ident) => {
        super::suite!(access, $bed:
            a_session_lives_with_its_user_and_until_a_new_password
            a_token_is_found_by_its_hash_until_it_is_revoked
            of_many_who_make_the_first_user_one_does
            the_trail_is_read_backwards_and_filtered
            users_come_change_and_go_and_one_admin_stays
        );
        super::suite!(node, $bed:
            a_revocation_holds_against_renewals_under_way
            of_many_who_come_with_one_token_one_joins
            tokens_are_forgotten_when_they_are_over_or_their_node_is_revoked
        );
    };
}

use {events_suite, policy_suite, shared_suite, suite};
