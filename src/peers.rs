//! Peers that let us wait, where only so many are served at once: those that send nothing keep no other out.

use async_channel::Sender;
use std::cell::RefCell;
use std::collections::VecDeque;

/// Peers that are waited for, oldest first. A channel is closed for one that is not to be waited for any more.
#[derive(Default)]
pub struct Waiting(RefCell<VecDeque<Sender<()>>>);

impl Waiting {
    /// Waits in the place of a peer that is to be raced with this: ends when it is given up.
    pub async fn given_up(&self) {
        let (goes_on, given_up) = async_channel::bounded(1);
        self.0.borrow_mut().push_back(goes_on);
        let _ = given_up.recv().await;
    }

    /// Gives up the one that has been waited for the longest.
    pub fn give_up_oldest(&self) {
        let mut peers = self.0.borrow_mut();
        peers.retain(|peer| !peer.is_closed());
        peers.pop_front();
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        let mut peers = self.0.borrow_mut();
        peers.retain(|peer| !peer.is_closed());
        peers.len()
    }
}
