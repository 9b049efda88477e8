//! Microsoft Entra's sign-in: discovery, authorize, token and device code, under both versions of tenant restrictions.

mod endpoint;
mod restriction;
mod tenant;
mod token;

pub(crate) use endpoint::answer;
pub(crate) use token::DeviceCodes;
