use serde_json::{Value, json};

use super::*;
use crate::room::HISTORY;

/// Several replicas, and the news in transit between them.
struct Service {
    replicas: Vec<Replica>,
    /// News in transit, with the indices of the sending and the receiving worker.
    links: Vec<(usize, usize, News)>,
    effects: Vec<(usize, Effect<SocketId>)>,
    displaced: Vec<SocketId>,
    unix: u64,
}

fn socket_id(worker: usize, socket: u64) -> SocketId {
    let worker = worker as u64;
    SocketId { worker, socket }
}

impl Service {
    fn new(workers: usize) -> Service {
        Service {
            replicas: (0..workers as u64).map(Replica::new).collect(),
            links: Vec::new(),
            effects: Vec::new(),
            displaced: Vec::new(),
            unix: 1_800_000_000_000,
        }
    }

    fn now(&self) -> RequestTime {
        RequestTime {
            unix: self.unix,
            ..RequestTime::default()
        }
    }

    fn take(&mut self, worker: usize, outcome: Outcome) {
        let effects = outcome.effects.into_iter();
        self.effects.extend(effects.map(|effect| (worker, effect)));
        self.displaced.extend(outcome.displaced);
        for news in outcome.news {
            for other in (0..self.replicas.len()).filter(|other| *other != worker) {
                self.links.push((worker, other, news.clone()));
            }
        }
    }

    fn request(&mut self, socket_id: SocketId, request: Value) {
        let worker = usize::try_from(socket_id.worker).unwrap();
        let request = serde_json::from_value(request).unwrap();
        let now = self.now();
        let outcome = self.replicas[worker].handle(socket_id, request, now);
        self.take(worker, outcome);
    }

    fn join(&mut self, socket_id: SocketId, name: &str, token: &str) {
        self.request(
            socket_id,
            json!({"type": "join", "name": name, "room": "lobby", "token": token}),
        );
    }

    fn say(&mut self, socket_id: SocketId, text: &str) {
        self.request(socket_id, json!({"type": "say", "text": text, "ref": 1}));
    }

    /// Delivers the next news from one worker to another.
    fn arrive(&mut self, from: usize, to: usize) {
        let next = |(start, end, _): &(usize, usize, News)| (*start, *end) == (from, to);
        let position = self.links.iter().position(next).unwrap();
        let (_, _, news) = self.links.remove(position);
        let now = self.now();
        let outcome = self.replicas[to].apply_news(news, now);
        self.take(to, outcome);
    }

    /// Delivers all news: in order between each two workers, otherwise in an order that depends on the seed.
    fn settle(&mut self, mut seed: usize) {
        while !self.links.is_empty() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (from, to, _) = self.links[(seed >> 33) % self.links.len()];
            self.arrive(from, to);
        }
    }

    fn remove_worker(&mut self, worker: usize) {
        self.links
            .retain(|(from, to, _)| *from != worker && *to != worker);
        for other in (0..self.replicas.len()).filter(|other| *other != worker) {
            let now = self.now();
            let outcome = self.replicas[other].remove_worker(worker as u64, now);
            self.take(other, outcome);
        }
        self.links.retain(|(_, to, _)| *to != worker);
    }

    /// Returns the socket ids and the texts in the lobby of a worker's replica.
    fn lobby(&self, worker: usize) -> (Vec<SocketId>, Vec<String>) {
        let Some(room) = self.replicas[worker].chat.rooms.get("lobby") else {
            return Default::default();
        };
        let mut socket_ids: Vec<SocketId> = room.members.keys().copied().collect();
        socket_ids.sort_unstable();
        (
            socket_ids,
            room.history.iter().map(|said| said.text.clone()).collect(),
        )
    }

    #[track_caller]
    fn expect_agreement(&self, members: &[SocketId]) -> Vec<String> {
        let (socket_ids, texts) = self.lobby(0);
        assert_eq!(socket_ids, members);
        for worker in 1..self.replicas.len() {
            assert_eq!(
                self.lobby(worker),
                (socket_ids.clone(), texts.clone()),
                "{worker}"
            );
        }
        texts
    }
}

#[test]
fn concurrent_messages_have_the_same_order_in_all_workers() {
    for seed in 0..50 {
        let mut service = Service::new(3);
        let socket_ids = [0, 1, 2].map(|worker| socket_id(worker, 1));
        for (socket_id, name) in socket_ids.iter().zip(["Ann", "Bob", "Cid"]) {
            service.join(*socket_id, name, "");
        }
        for round in 0..5 {
            for socket_id in socket_ids {
                let text = format!("{round} of {}", socket_id.worker);
                service.request(
                    socket_id,
                    json!({"type": "say", "text": text, "ref": round}),
                );
            }
            service.unix += round % 2;
        }
        service.settle(seed);
        assert_eq!(service.expect_agreement(&socket_ids).len(), 15);
        // Each worker has published each message to its pages once.
        for worker in 0..3 {
            let told = service.effects.iter().filter(|(at, effect)| {
                *at == worker
                    && matches!(effect, Effect::Publish(_, text) if text.contains("\"message\""))
            });
            assert_eq!(told.count(), 15);
        }
    }
}

#[test]
fn the_earlier_of_two_people_with_the_same_name_stays() {
    for seed in 0..20 {
        let mut service = Service::new(3);
        service.join(socket_id(1, 1), "Ann", "one");
        service.unix += 1;
        service.join(socket_id(0, 1), "ann", "another");
        service.settle(seed);
        service.expect_agreement(&[socket_id(1, 1)]);
        assert_eq!(service.displaced, [socket_id(0, 1)]);
    }
}

#[test]
fn the_later_of_two_connections_of_one_page_stays() {
    for seed in 0..20 {
        let mut service = Service::new(3);
        service.join(socket_id(0, 1), "Ann", "a token");
        service.unix += 1;
        service.join(socket_id(1, 1), "Ann", "a token");
        service.settle(seed);
        service.expect_agreement(&[socket_id(1, 1)]);
        assert_eq!(service.displaced, []);
        assert!(
            service
                .effects
                .contains(&(0, Effect::Disconnect(socket_id(0, 1))))
        );
        // The pages of workers 0 and 1 do not see her leave.
        let left = r#"{"type":"left","room":"lobby","name":"Ann"}"#;
        let left = Effect::Publish("lobby".into(), left.into());
        let told = service.effects.iter().filter(|(_, effect)| *effect == left);
        assert!(told.into_iter().all(|(worker, _)| *worker == 2));
    }
}

#[test]
fn the_people_of_a_lost_worker_leave_and_its_last_messages_reach_all_workers() {
    let mut service = Service::new(3);
    let socket_ids = [0, 1, 2].map(|worker| socket_id(worker, 1));
    for (socket_id, name) in socket_ids.iter().zip(["Ann", "Bob", "Cid"]) {
        service.join(*socket_id, name, "");
    }
    service.settle(0);
    service.say(socket_ids[2], "last message");
    service.arrive(2, 0);
    service.remove_worker(2);
    service.settle(0);
    for worker in [0, 1] {
        let expected = (socket_ids[..2].to_vec(), vec!["last message".to_owned()]);
        assert_eq!(service.lobby(worker), expected);
        let left = r#"{"type":"left","room":"lobby","name":"Cid"}"#;
        let left = Effect::Publish("lobby".into(), left.into());
        assert!(service.effects.contains(&(worker, left)));
    }
}

#[test]
fn a_new_worker_receives_the_state_room_by_room() {
    let mut service = Service::new(1);
    for room in 0..3 {
        let name = format!("room {room}");
        let ann = socket_id(0, room);
        service.request(
            ann,
            json!({"type": "join", "name": "Ann", "room": name, "token": ""}),
        );
        for number in 0..HISTORY + 3 {
            service.unix += 1;
            let text = format!("{number}");
            service.request(ann, json!({"type": "say", "text": text, "ref": number}));
        }
    }
    let mut new = Replica::new(1);
    let mut after = None;
    let mut rooms = 0;
    loop {
        let worker = 1;
        let request = News::Ask { worker, after };
        let now = service.now();
        let mut answer = service.replicas[0].apply_news(request, now).news;
        let last = answer.pop().unwrap();
        for news in answer {
            assert!(matches!(news, News::Joined(_)));
            new.apply_news(news, service.now());
        }
        let News::Room { room, .. } = &last else {
            assert_eq!(last, News::End { worker: 0 });
            break;
        };
        rooms += 1;
        after = Some(room.clone());
        new.apply_news(last, service.now());
    }
    assert_eq!(rooms, 3);
    let known = |replica: &Replica| {
        let rooms = replica.chat.rooms.iter();
        let rooms = rooms.map(|(name, room)| {
            (
                name.clone(),
                room.epoch,
                room.forgotten,
                room.history.clone(),
                room.names().len(),
            )
        });
        rooms.collect::<Vec<_>>()
    };
    assert_eq!(known(&new), known(&service.replicas[0]));
    assert_eq!(new.rooms_as_json(), service.replicas[0].rooms_as_json());
}

#[test]
fn duplicate_news_change_nothing() {
    let mut service = Service::new(2);
    service.join(socket_id(0, 1), "Ann", "");
    service.say(socket_id(0, 1), "hello");
    let again = service.links.clone();
    service.settle(0);
    service.effects.clear();
    service.links = again;
    service.settle(0);
    service.expect_agreement(&[socket_id(0, 1)]);
    assert_eq!(service.effects, []);
}

#[test]
fn a_member_that_changes_rooms_is_in_the_new_room_in_all_workers() {
    let mut service = Service::new(2);
    service.join(socket_id(0, 1), "Ann", "");
    service.request(
        socket_id(0, 1),
        json!({"type": "join", "name": "Ann", "room": "attic", "token": ""}),
    );
    service.settle(0);
    let rooms = r#"{"type":"rooms","rooms":[{"name":"attic","members":1,"last":0}]}"#;
    for replica in &service.replicas {
        assert_eq!(replica.rooms_as_json(), rooms);
    }
    let outcome = service.replicas[0].leave(socket_id(0, 1));
    service.take(0, outcome);
    service.settle(0);
    assert_eq!(
        service.replicas[1].rooms_as_json(),
        r#"{"type":"rooms","rooms":[]}"#
    );
}
