//! Buttons: who may press them, what they do, and what is left of them.

use super::world::*;
use crate::monitor::message::Press;

fn press(data: &str) -> Press {
    Press {
        chat: CHAT,
        user: Some(1),
        name: "Ann".into(),
        message_id: 100,
        html: Some("x".into()),
        date: WALL,
        data: data.into(),
        ..Press::default()
    }
}

#[test]
fn a_strangers_press_is_not_even_answered() {
    let mut world = World::of(&["blog"]);
    let stranger = Press {
        chat: 8,
        ..press("x")
    };
    assert_eq!(world.press(stranger), None);
    assert!(
        world
            .logs
            .iter()
            .any(|line| line.contains("no answer for user 1 in chat 8"))
    );
    assert_eq!(
        world.press(press("x")),
        Some("This button is too old.".into())
    );
}
