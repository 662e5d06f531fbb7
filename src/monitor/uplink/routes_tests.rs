use super::*;
use crate::monitor::site::secret_url::SecretUrl;
use proptest::prelude::*;

const UP: Connection = Connection::Up(true);

fn proxy(name: &str) -> Route {
    let url = format!("socks5h://{name}");
    Route::Proxy(SecretUrl::new(url.clone(), url, Vec::new()))
}

fn list(length: usize) -> Vec<Route> {
    let proxies = (1..length).map(|n| proxy(&format!("p{n}")));
    [Route::Direct].into_iter().chain(proxies).collect()
}

/// Routes with a clock, and a record of what the shell is sent.
struct World {
    routes: Routes,
    seconds: u64,
    connection: Connection,
    used: Vec<String>,
    used_at: Vec<u64>,
    tried: Vec<String>,
    log: Vec<String>,
    notices: Vec<String>,
}

impl World {
    fn new(length: usize) -> World {
        World {
            routes: Routes::new(list(length)),
            seconds: 0,
            connection: UP,
            used: Vec::new(),
            used_at: Vec::new(),
            tried: Vec::new(),
            log: Vec::new(),
            notices: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now::utc(
            Duration::from_secs(self.seconds),
            1_800_000_000 + self.seconds as i64,
        )
    }

    fn route(&self) -> Route {
        self.routes.list[self.routes.active].clone()
    }

    fn take(&mut self, mut actions: Actions) {
        for action in actions.take() {
            match action {
                Action::UseRoute(route) => {
                    self.used.push(route.to_string());
                    self.used_at.push(self.seconds);
                }
                Action::TryRoute(route) => self.tried.push(route.to_string()),
                Action::Log(_, text) => self.log.push(text),
                other => panic!("{other:?}"),
            }
        }
    }

    fn settle(&mut self) {
        let (now, mut actions) = (self.now(), Actions::default());
        self.routes.on_timeout(now, self.connection, &mut actions);
        self.take(actions);
    }

    fn request_by(&mut self, route: &Route, failure: Option<&str>) {
        let failure = failure.map(str::to_owned);
        let notice = self.routes.on_request(self.now(), route, failure);
        self.notices.extend(notice);
        self.settle();
    }

    fn fails(&mut self) {
        self.request_by(&self.route(), Some("connection reset after the TLS hello"));
    }

    fn answered(&mut self) {
        self.request_by(&self.route(), None);
    }

    fn tried(&mut self, route: &Route, failure: Option<&str>) {
        let (now, mut actions) = (self.now(), Actions::default());
        let failure = failure.map(str::to_owned);
        self.routes.on_trial(now, route, failure, &mut actions);
        self.take(actions);
    }

    /// Advances by `seconds`, and wakes the routes whenever they are due.
    fn pass(&mut self, seconds: u64) {
        let until = self.seconds + seconds;
        while self.seconds < until {
            let now = self.now().moment();
            let down = self.connection == Connection::Down;
            let due = self.routes.next_timeout(now, down);
            let due = due.map_or(until, |at| {
                let ahead = u64::try_from(at.0 - now.0).unwrap_or(0).div_ceil(1000);
                self.seconds + ahead.max(1)
            });
            self.seconds = due.min(until);
            self.settle();
        }
    }
}

#[test]
fn one_route_is_never_left() {
    let mut world = World::new(1);
    for _ in 0..50 {
        world.fails();
        world.pass(60);
    }
    assert!(world.used.is_empty() && world.tried.is_empty() && world.log.is_empty());
}

#[test]
fn two_failures_in_a_row_change_the_route() {
    let mut world = World::new(2);
    world.fails();
    assert!(world.used.is_empty());
    world.fails();
    assert_eq!(world.used, ["socks5h://p1"]);
    assert_eq!(
        world.log,
        [
            "direct: connection reset after the TLS hello: Telegram looks blocked here; your sites are \
             fine. Telegram is asked through socks5h://p1 from now on"
        ]
    );
}

#[test]
fn what_is_not_sure_is_not_said() {
    let mut world = World::new(2);
    world.connection = Connection::Up(false);
    world.fails();
    world.fails();
    assert!(!world.log[0].contains("blocked"), "{:?}", world.log);
    world.connection = UP;
    world.fails();
    world.fails();
    assert!(!world.log[1].contains("blocked"), "it was no way of ours");
}

#[test]
fn an_answer_in_between_keeps_the_route() {
    let mut world = World::new(2);
    for _ in 0..5 {
        world.fails();
        world.answered();
    }
    assert!(world.used.is_empty());
}

#[test]
fn after_the_last_route_comes_the_first() {
    let mut world = World::new(3);
    for _ in 0..6 {
        world.fails();
    }
    assert_eq!(world.used, ["socks5h://p1", "socks5h://p2", "direct"]);
}

#[test]
fn nothing_changes_while_the_uplink_is_down() {
    let mut world = World::new(2);
    world.connection = Connection::Asked;
    world.fails();
    world.fails();
    assert!(world.used.is_empty(), "not known to be up");
    world.connection = Connection::Down;
    world.settle();
    world.connection = UP;
    world.settle();
    assert!(world.used.is_empty(), "that was the line");
    world.fails();
    assert!(world.used.is_empty(), "the count begins anew");
    world.fails();
    assert_eq!(world.used.len(), 1);
    world.connection = Connection::Down;
    world.pass(3600);
    assert!(world.tried.is_empty(), "a trial would tell nothing");
}

#[test]
fn the_list_is_gone_through_once_a_minute() {
    let mut world = World::new(2);
    for _ in 0..10 {
        world.fails();
    }
    assert_eq!(world.used, ["socks5h://p1", "direct"]);
    world.pass(59);
    assert_eq!(world.used.len(), 2);
    world.pass(1);
    assert_eq!(world.used.len(), 3);
}

#[test]
fn what_another_route_answers_counts_for_nothing() {
    let mut world = World::new(2);
    world.fails();
    world.fails();
    for _ in 0..5 {
        world.request_by(&Route::Direct, Some("late"));
        world.request_by(&Route::Direct, None);
    }
    assert_eq!(world.used.len(), 1);
    assert!(world.notices.is_empty());
}

#[test]
fn earlier_routes_are_tried_every_ten_minutes() {
    let mut world = World::new(3);
    for _ in 0..4 {
        world.fails();
    }
    world.pass(599);
    assert!(world.tried.is_empty());
    world.pass(1);
    assert_eq!(world.tried, ["direct"]);
    world.tried(&Route::Direct, Some("no answer"));
    assert_eq!(world.tried, ["direct", "socks5h://p1"]);
    world.tried(&proxy("p1"), Some("no answer"));
    world.pass(600);
    assert_eq!(world.tried.len(), 3);
    // This trial never has a result: then the next route is tried.
    world.pass(60);
    assert_eq!(world.tried.len(), 4);
    world.tried(&proxy("p1"), None);
    assert_eq!(world.used.last().map(String::as_str), Some("socks5h://p1"));
    world.pass(600);
    world.tried(&Route::Direct, None);
    assert_eq!(world.used.last().map(String::as_str), Some("direct"));
    world.pass(6000);
    assert_eq!(world.tried.len(), 5, "there is none before the first");
}

#[test]
fn a_change_is_notified_once_when_it_is_answered() {
    let mut world = World::new(3);
    world.fails();
    world.fails();
    world.pass(10);
    assert!(world.notices.is_empty(), "nothing gets through yet");
    world.fails();
    world.fails();
    world.pass(90);
    world.answered();
    world.answered();
    assert_eq!(
        world.notices,
        ["Telegram is reached through socks5h://p2 since 08:00."]
    );
    world.pass(510);
    world.tried(&Route::Direct, None);
    world.answered();
    assert_eq!(world.notices.len(), 2);
    assert_eq!(
        world.notices[1],
        "Telegram is reached directly since 08:10."
    );
    // Changed and changed back without an answer: no notice.
    world.pass(60);
    for _ in 0..6 {
        world.fails();
    }
    assert_eq!(world.route(), Route::Direct);
    world.answered();
    assert_eq!(world.notices.len(), 2);
}

#[test]
fn another_list_keeps_the_route_that_it_has() {
    let mut world = World::new(2);
    world.fails();
    world.fails();
    world.answered();
    world
        .routes
        .set(vec![proxy("p1"), Route::Direct], Moment(0));
    world.settle();
    assert_eq!(world.route(), proxy("p1"));
    assert_eq!(world.used.last().map(String::as_str), Some("socks5h://p1"));
    world
        .routes
        .set(vec![Route::Direct, proxy("p9")], Moment(0));
    world.settle();
    assert_eq!(world.used.last().map(String::as_str), Some("direct"));
    world.answered();
    assert_eq!(world.notices.len(), 1);
}

#[test]
fn a_reload_within_the_minute_allows_no_further_turn() {
    let mut world = World::new(2);
    for _ in 0..4 {
        world.fails();
    }
    assert_eq!(world.used.len(), 2, "the whole list");
    let list = vec![Route::Direct, proxy("p1")];
    world.routes.set(list, Moment(0));
    world.settle();
    let used = world.used.len();
    world.fails();
    world.fails();
    assert_eq!(world.used.len(), used, "{:?}", world.used);
}

#[test]
fn a_restart_goes_on_by_the_route_that_was_used() {
    let mut world = World::new(2);
    world.fails();
    world.fails();
    assert_eq!(world.routes.remembered(), None, "it may not work");
    world.answered();
    let name = world.routes.remembered().expect("a name");
    let mut next = World::new(2);
    next.routes.restore(&name, Moment(0));
    next.settle();
    assert_eq!(next.used, ["socks5h://p1"]);
    next.answered();
    assert!(next.notices.is_empty(), "the chats know it");
    next.pass(600);
    assert_eq!(next.tried, ["direct"]);
    next.routes.restore("socks5h://gone", Moment(0));
    assert_eq!(next.route(), proxy("p1"));
}

proptest! {
    /// Invariants: apart from trials, at most one pass through the list in any minute; no change
    /// while the uplink is down; at most one notice for a change, which names the current route.
    #[test]
    fn the_rules_hold_whatever_happens(
        length in 1..5usize,
        steps in prop::collection::vec((0..8u8, 0..90u64), 1..200),
    ) {
        let mut world = World::new(length);
        let mut changes: Vec<u64> = Vec::new();
        for (step, seconds) in steps {
            let (used, notices) = (world.used.len(), world.notices.len());
            let down = world.connection == Connection::Down;
            let mut returned = false;
            match step {
                0..=2 => world.fails(),
                3 => world.answered(),
                4 => {
                    world.connection = [UP, Connection::Down, Connection::Asked][seconds as usize % 3];
                }
                5 => {
                    let earlier = world.tried.last().map(|name| list(5).into_iter().find(|r| r.to_string() == *name));
                    if let Some(route) = earlier.flatten() {
                        world.tried(&route, (seconds % 2 == 0).then_some("still"));
                        returned = true;
                    }
                }
                6 => world.request_by(&proxy("other"), (seconds % 2 == 0).then_some("late")),
                _ => world.pass(seconds),
            }
            for at in &world.used_at[used..] {
                if !returned {
                    prop_assert!(!down, "changed while the uplink was down");
                    changes.push(*at);
                    if let Some(first) = changes.len().checked_sub(length + 1) {
                        prop_assert!(at - changes[first] >= 60, "{:?}", changes);
                    }
                }
            }
            if let Some(name) = world.used.last() {
                prop_assert_eq!(name, &world.route().to_string());
            }
            prop_assert!(world.notices.len() <= notices + 1);
            prop_assert!(world.notices.len() <= world.used.len());
            prop_assert!(length > 1 || world.used.is_empty());
            if let Some(notice) = world.notices.get(notices) {
                let name = match world.route() {
                    Route::Direct => "directly".to_owned(),
                    route => format!("through {route}"),
                };
                prop_assert!(notice.contains(&name), "{}", notice);
            }
        }
    }
}
