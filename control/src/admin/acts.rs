//! What each route asks for. A route that is not here is open to nobody.

use axum::http::Method;

use crate::access::Act;

/// Path as it is routed, method, act. HEAD is as GET.
const ACTS: &[(&str, &str, Act)] = &[
    ("/", "GET", Act::ReadState),
    ("/account", "GET", Act::ReadState),
    ("/account/password", "POST", Act::Account),
    ("/api/v1/ca", "GET", Act::ReadState),
    ("/api/v1/ca/rotate", "POST", Act::RotateAuthority),
    ("/api/v1/catalogue", "GET", Act::ReadState),
    ("/api/v1/catalogue/{id}", "GET", Act::ReadState),
    ("/api/v1/events", "GET", Act::ReadEvents),
    ("/api/v1/exports", "GET", Act::ReadState),
    ("/api/v1/nodes", "GET", Act::ReadState),
    ("/api/v1/nodes/authority", "GET", Act::ReadState),
    ("/api/v1/nodes/authority", "POST", Act::RotateAuthority),
    ("/api/v1/nodes/tokens", "POST", Act::ManageNodes),
    ("/api/v1/nodes/{id}/revoke", "POST", Act::ManageNodes),
    ("/api/v1/openapi.json", "GET", Act::ReadState),
    ("/api/v1/policy", "GET", Act::ReadState),
    ("/api/v1/policy", "PUT", Act::ChangePolicy),
    ("/api/v1/policy/check", "POST", Act::TryPolicy),
    ("/api/v1/policy/diff", "POST", Act::TryPolicy),
    ("/api/v1/policy/exceptions", "GET", Act::ReadState),
    ("/api/v1/policy/explain", "POST", Act::TryPolicy),
    ("/api/v1/policy/forecast", "POST", Act::TryPolicy),
    ("/api/v1/policy/history", "GET", Act::ReadState),
    ("/api/v1/policy/rollback", "POST", Act::ChangePolicy),
    ("/api/v1/policy/rollout", "GET", Act::ReadState),
    ("/api/v1/policy/rollout", "POST", Act::ChangePolicy),
    ("/api/v1/report", "GET", Act::ReadEvents),
    ("/api/v1/report/denials", "GET", Act::ReadEvents),
    ("/api/v1/session", "DELETE", Act::SignOut),
    ("/api/v1/session", "GET", Act::ReadState),
    ("/api/v1/session/password", "PUT", Act::Account),
    ("/api/v1/tokens", "GET", Act::ViewAccess),
    ("/api/v1/tokens", "POST", Act::ManageAccess),
    ("/api/v1/tokens/{id}", "DELETE", Act::ManageAccess),
    ("/api/v1/trail", "GET", Act::ReadTrail),
    ("/api/v1/users", "GET", Act::ViewAccess),
    ("/api/v1/users", "POST", Act::ManageAccess),
    ("/api/v1/users/{id}", "DELETE", Act::ManageAccess),
    ("/api/v1/users/{id}", "PATCH", Act::ManageAccess),
    ("/authority", "GET", Act::ReadState),
    ("/catalogue", "GET", Act::ReadState),
    ("/catalogue/{id}", "GET", Act::ReadState),
    ("/doctor", "GET", Act::ReadState),
    ("/exports", "GET", Act::ReadState),
    ("/live", "GET", Act::ReadEvents),
    ("/live/stream", "GET", Act::ReadEvents),
    ("/overview/figures", "GET", Act::ReadState),
    ("/people", "GET", Act::ViewAccess),
    ("/people/tokens", "POST", Act::ManageAccess),
    ("/people/tokens/{id}", "POST", Act::ManageAccess),
    ("/people/users", "POST", Act::ManageAccess),
    ("/people/users/{id}", "POST", Act::ManageAccess),
    ("/policy", "GET", Act::ReadState),
    ("/policy/apply", "POST", Act::ChangePolicy),
    ("/policy/check", "POST", Act::TryPolicy),
    ("/policy/edit", "POST", Act::TryPolicy),
    ("/policy/history", "GET", Act::ReadState),
    ("/policy/history/{id}", "GET", Act::ReadState),
    ("/policy/review", "POST", Act::TryPolicy),
    ("/policy/rollback", "POST", Act::ChangePolicy),
    ("/report", "GET", Act::ReadEvents),
    ("/sign-out", "POST", Act::SignOut),
    ("/trail", "GET", Act::ReadTrail),
];

/// What the table says of a request.
pub(super) enum Asked {
    Act(Act),
    /// Not with this method, but with these.
    Method {
        allowed: String,
    },
    /// Nothing.
    Unlisted,
}

/// Looks up a routed path.
pub(super) fn asked(path: &str, method: &Method) -> Asked {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let rows = || ACTS.iter().filter(|(listed, _, _)| *listed == path);
    if let Some((_, _, act)) = rows().find(|(_, listed, _)| *listed == method) {
        return Asked::Act(*act);
    }
    let allowed: Vec<&str> = rows().map(|(_, method, _)| *method).collect();
    if allowed.is_empty() { Asked::Unlisted } else { Asked::Method { allowed: allowed.join(",") } }
}
