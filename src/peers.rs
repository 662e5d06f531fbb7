//! Gives up slow peers where only a limited number is served at once: peers that send nothing must
//! not keep others out.

use async_channel::Sender;
use std::cell::RefCell;
use std::collections::VecDeque;

/// Peers that are waited for, oldest first. Dropping the sender of a peer gives it up.
#[derive(Default)]
pub struct Waiting(RefCell<VecDeque<Sender<()>>>);

impl Waiting {
    /// Waits until this peer is given up. The caller races it with the work that the peer delays.
    pub async fn given_up(&self) {
        let (goes_on, given_up) = async_channel::bounded(1);
        self.0.borrow_mut().push_back(goes_on);
        let _ = given_up.recv().await;
    }

    /// Gives up the peer that has been waited for the longest.
    pub fn give_up_oldest(&self) {
        let mut peers = self.0.borrow_mut();
        peers.retain(|peer| !peer.is_closed());
        peers.pop_front();
    }

    /// Returns the number of peers that are waited for.
    pub fn count(&self) -> usize {
        let mut peers = self.0.borrow_mut();
        peers.retain(|peer| !peer.is_closed());
        peers.len()
    }
}
