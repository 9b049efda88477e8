//! How many connections of the link one data plane may hold: the newest ones, so that one that comes back after a break always
//! gets in, and no certificate, however often it is shown, takes the places of others.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use penstock_core::limits::LINK_CONNECTIONS_PER_NODE_MAX;
use tokio::sync::oneshot;

/// Connections by the name in their certificate, in the order of their coming.
#[derive(Default)]
pub(super) struct Places {
    held: Mutex<HashMap<String, VecDeque<Holder>>>,
    taken: AtomicU64,
}

struct Holder {
    place: u64,
    /// Dropped when a newer one has the place.
    _keep: oneshot::Sender<()>,
}

/// One connection's place; free again when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    name: String,
    place: u64,
    kept: oneshot::Receiver<()>,
}

impl Places {
    /// Takes a place, and answers whether the oldest connection of the name lost its own for that.
    pub(super) fn take(self: &Arc<Self>, name: &str) -> (Place, bool) {
        let place = self.taken.fetch_add(1, Ordering::Relaxed);
        let (keep, kept) = oneshot::channel();
        let mut held = self.lock();
        let of_name = held.entry(name.to_owned()).or_default();
        let is_full = of_name.len() >= LINK_CONNECTIONS_PER_NODE_MAX;
        if is_full {
            of_name.pop_front();
        }
        of_name.push_back(Holder { place, _keep: keep });
        drop(held);
        (Place { places: Arc::clone(self), name: name.to_owned(), place, kept }, is_full)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Holder>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Completes when a newer connection has taken it.
    pub(super) async fn lost(&mut self) {
        drop((&mut self.kept).await);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.lock();
        if let Some(of_name) = held.get_mut(&self.name) {
            of_name.retain(|holder| holder.place != self.place);
            if of_name.is_empty() {
                held.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_of_a_name_have_its_places_and_other_names_theirs() {
        let places = Arc::new(Places::default());
        let (_other, _) = places.take("edge-2");
        let mut held: Vec<Place> = Vec::new();
        for count in 0..LINK_CONNECTIONS_PER_NODE_MAX + 3 {
            let (place, is_full) = places.take("edge-1");
            assert_eq!(is_full, count >= LINK_CONNECTIONS_PER_NODE_MAX, "{count}");
            held.push(place);
        }
        for (index, place) in held.iter_mut().enumerate() {
            let is_lost = tokio::select! { biased; () = place.lost() => true, () = std::future::ready(()) => false };
            assert_eq!(is_lost, index < 3, "{index}");
        }
        // What lost its place gives back nothing that is another's.
        held.drain(..3);
        assert_eq!(places.lock()["edge-1"].len(), LINK_CONNECTIONS_PER_NODE_MAX);
        held.pop();
        assert!(!places.take("edge-1").1, "a place that was given back");
        held.clear();
        assert_eq!(places.lock().keys().collect::<Vec<_>>(), ["edge-2"], "and nothing is left of it");
    }
}
