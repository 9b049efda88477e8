//! A shard's mailbox: how the background thread speaks to a shard's thread.
//!
//! A bounded queue and a wake-up. The shard's end works on any single-threaded runtime of Tokio's tasks, the ring's
//! among them, and waits without a system call of its own.

use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, TryRecvError, bounded};
use penstock_core::limits::MAILBOX_MESSAGES_MAX;
use penstock_core::policy::Snapshot;
use tokio::sync::{Notify, oneshot};

use crate::tls::Issuer;

/// What control published and every shard uses: a flow keeps the one that it started with.
pub(crate) struct Installed {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) issuer: Arc<Issuer>,
}

/// What a shard is told.
pub(crate) enum Message {
    /// Stop accepting, finish what is open.
    Drain,
    /// Use this from the next flow on, then acknowledge.
    Install(Arc<Installed>, InstallAck),
}

/// A shard's word that it uses a snapshot. Dropped without [`Self::installed`], it says that the shard did not.
#[must_use = "the sender waits for it"]
pub(crate) struct InstallAck(oneshot::Sender<()>);

impl InstallAck {
    /// The snapshot and its issuer are in use.
    pub(crate) fn installed(self) {
        // When nobody waits any more, the deadline has passed and control was told so.
        let _waiting = self.0.send(());
    }
}

/// The end that tells; clones speak to the same shard.
#[derive(Clone)]
pub(crate) struct MailboxSender {
    messages: Sender<Message>,
    /// Dropped after `messages`, so that the receiver finds the queue closed when the last sender goes.
    bell: Bell,
}

/// Wakes the receiver; also by going away.
#[derive(Clone)]
struct Bell(Arc<Notify>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// The end that the shard listens on.
pub(crate) struct MailboxReceiver {
    messages: Receiver<Message>,
    bell: Arc<Notify>,
}

/// Makes mailboxes.
pub(crate) struct Mailbox;

impl Mailbox {
    pub(crate) fn channel() -> (MailboxSender, MailboxReceiver) {
        let (sender, receiver) = bounded(MAILBOX_MESSAGES_MAX);
        let bell = Arc::new(Notify::new());
        (
            MailboxSender { messages: sender, bell: Bell(Arc::clone(&bell)) },
            MailboxReceiver { messages: receiver, bell },
        )
    }
}

impl MailboxSender {
    /// Puts a message into the mailbox; gives it back when the mailbox is full or the shard has ended.
    pub(crate) fn send(&self, message: Message) -> Result<(), Message> {
        self.messages.try_send(message).map_err(|refused| refused.into_inner())?;
        self.bell.0.notify_one();
        Ok(())
    }

    /// Tells the shard to use `installed`. What is returned resolves when it does, and fails when it will not; `None`
    /// when the shard cannot be told.
    pub(crate) fn install(&self, installed: Arc<Installed>) -> Option<oneshot::Receiver<()>> {
        let (ack, acknowledged) = oneshot::channel();
        self.send(Message::Install(installed, InstallAck(ack))).is_ok().then_some(acknowledged)
    }
}

impl MailboxReceiver {
    /// The next message, as soon as there is one; `None` when nobody is left to send any. Dropping the future loses
    /// nothing.
    pub(crate) async fn receive(&self) -> Option<Message> {
        loop {
            match self.messages.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                // A bell that rang since the look above is remembered: `notified` then returns at once.
                Err(TryRecvError::Empty) => self.bell.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn messages_arrive_in_order_from_another_thread() {
        let (sender, receiver) = Mailbox::channel();
        let thread = std::thread::spawn(move || {
            for _ in 0..1_000 {
                while sender.send(Message::Drain).is_err() {
                    std::thread::yield_now();
                }
            }
        });
        let mut count = 0;
        while let Some(Message::Drain) = receiver.receive().await {
            count += 1;
        }
        assert_eq!(count, 1_000, "the end shows after the last message, not before");
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn the_end_of_the_last_sender_wakes_a_waiting_shard() {
        let (sender, receiver) = Mailbox::channel();
        let other = sender.clone();
        let mut waiting = pin!(receiver.receive());
        for sender in [Some(sender), None] {
            drop(sender);
            let is_pending = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_pending()));
            assert!(is_pending.await);
        }
        drop(other);
        assert!(waiting.await.is_none());
    }

    #[test]
    fn a_full_mailbox_says_so() {
        let (sender, _receiver) = Mailbox::channel();
        for _ in 0..MAILBOX_MESSAGES_MAX {
            assert!(sender.send(Message::Drain).is_ok());
        }
        assert!(sender.send(Message::Drain).is_err());
    }
}
