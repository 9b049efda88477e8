//! A form as it was posted: its fields by name.

use axum::extract::{Form, FromRequest, Request};
use zeroize::Zeroize as _;

use crate::access::Password;
use crate::admin::Problem;

/// The fields, in the order of the form.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Takes a field's text; empty when the form has none.
    pub(super) fn take(&mut self, name: &str) -> String {
        let found = self.0.iter_mut().find(|(field, _)| field == name);
        found.map(|(_, value)| std::mem::take(value)).unwrap_or_default()
    }

    pub(super) fn take_password(&mut self, name: &str) -> Password {
        Password::from(self.take(name))
    }
}

impl Drop for Fields {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| value.zeroize());
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let form = Form::<Vec<(String, String)>>::from_request(request, state).await;
        form.map(|Form(fields)| Self(fields)).map_err(|error| Problem::new(error.status(), error.body_text()))
    }
}
