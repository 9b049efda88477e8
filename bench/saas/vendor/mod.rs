//! The simulated endpoints, one file or folder each. Each takes a whole request and answers as the vendor's own
//! documents say; where those are silent (the status of a refusal page, mostly) the file says what was chosen.

pub(crate) mod allow_list;
pub(crate) mod chatgpt;
pub(crate) mod claude;
pub(crate) mod consumer;
pub(crate) mod entra;
pub(crate) mod github;
pub(crate) mod google;
pub(crate) mod google_cloud;
pub(crate) mod openai;
pub(crate) mod youtube;
