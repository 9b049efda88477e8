//! Inspected flows from a seed: TLS at both ends, HTTP/1.1 or HTTP/2 within, forged restriction headers in the requests.
//!
//! A seed plays one visit or two, one after the other: on the second the product remembers the origin and shakes hands with
//! both sides at once.
//!
//! | file | owns |
//! |---|---|
//! | `plan` | what a seed plans |
//! | `message` | messages as they are planned and read, and HTTP/1.1 |
//! | `frames` | HTTP/2 |
//! | `windows` | its flow control |
//! | `speech` | what either end says, and when |
//! | `secure` | one end: TLS on a socket, and its fate |
//! | `play` | one seed's world |
//! | `check` | what must hold when all has ended |

mod check;
mod frames;
mod message;
mod plan;
mod play;
mod secure;
mod speech;
mod windows;

pub(super) use play::{InspectedBed, run};

const HOST: &str = "login.microsoftonline.com";
const IMPOSTOR: &str = "impostor.example";
/// In each value of a restriction header that a client sends.
const FORGED: &str = "forged";
