//! What becomes of a datagram that reaches the data plane.

use crate::labelled;

labelled! {
    /// What became of a datagram.
    pub enum DatagramOutcome {
        /// It belongs to a refused flow, and was answered.
        Answered = "answered",
        /// It belongs to a refused flow, or there is no room for its flow.
        Dropped = "dropped",
        /// It was sent on as the client.
        Forwarded = "forwarded",
        /// It waits for the rest of a ClientHello.
        Held = "held",
        /// It holds nothing that any server would read: forged, truncated, too short.
        Ignored = "ignored",
        /// The kernel refused to send it on, or its answer.
        Lost = "lost",
    }
}
