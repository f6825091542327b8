//! Sessions in cookies and in a store.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller, block_on, sleep};
use uptick_http::test::TestResponse;
use uptick_http::{
    HttpError, HttpServer, LocalFuture, MemoryStore, Request, Responder, Response, SessionKeys,
    SessionStore, Sessions, StoreError,
};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const OTHER: &[u8] = b"fedcba9876543210fedcba9876543210";
const NAME: &str = "__Host-session";

fn keys(secret: &[u8]) -> SessionKeys {
    SessionKeys::new(secret).unwrap()
}

fn server(sessions: Sessions) -> HttpServer {
    let http = HttpServer::new().wrap(sessions);
    http.post("/login/{user}", |req: Request| {
        let session = req.session()?;
        session.renew();
        session.set("user", req.param("user"))?;
        Ok::<_, HttpError>("welcome")
    });
    http.post("/later/{user}", |req: Request, res: Responder| {
        let session = req.session().unwrap();
        session.set("user", req.param("user")).unwrap();
        res.send("welcome");
    });
    http.post("/logout", |req: Request| {
        req.session()?.destroy();
        Ok::<_, HttpError>("goodbye")
    });
    http.post("/fill", |req: Request| {
        req.session()?.set("big", "x".repeat(100_000))?;
        Ok::<_, HttpError>("filled")
    });
    http.get("/", |req: Request| {
        let user: Option<String> = req.session()?.get("user");
        Ok::<_, HttpError>(user.unwrap_or_else(|| "anonymous".to_owned()))
    });
    http.get("/token", |req: Request| {
        Ok::<_, HttpError>(req.session()?.csrf_token()?)
    });
    http.post("/guarded", |req: Request| {
        let token = req.header("x-csrf-token").unwrap_or_default();
        match req.session()?.is_csrf_token(token) {
            true => Ok("done"),
            false => Err(HttpError::from_status(403_u16.try_into()?)),
        }
    });
    http
}

fn post(http: HttpServer, path: &str, cookie: &str) -> TestResponse {
    http.test().post(path).cookie(NAME, cookie).send().unwrap()
}

fn get(http: HttpServer, path: &str, cookie: &str) -> TestResponse {
    http.test().get(path).cookie(NAME, cookie).send().unwrap()
}

fn user(http: HttpServer, cookie: &str) -> String {
    get(http, "/", cookie).text().into_owned()
}

fn cookie(response: &TestResponse) -> String {
    response.cookie(NAME).unwrap().to_owned()
}

fn all() -> [Sessions; 3] {
    [
        Sessions::encrypted(keys(SECRET)),
        Sessions::signed(keys(SECRET)),
        Sessions::stored(MemoryStore::new()),
    ]
}

#[test]
fn values_persist_between_requests() {
    for sessions in all() {
        let http = server(sessions);
        assert_eq!(user(http, ""), "anonymous");
        let ada = cookie(&post(http, "/login/ada", ""));
        let bob = cookie(&post(http, "/later/bob", ""));
        assert_eq!(user(http, &ada), "ada");
        assert_eq!(user(http, &bob), "bob");
    }
}

#[test]
fn the_cookie_is_only_for_https_and_this_host() {
    let http = server(Sessions::encrypted(keys(SECRET)));
    let response = post(http, "/login/ada", "");
    let header = response.header("set-cookie").unwrap();
    for attribute in [
        "HttpOnly",
        "Secure",
        "SameSite=Lax",
        "Path=/",
        "Max-Age=7200",
    ] {
        assert!(header.contains(attribute), "{header}");
    }
    assert!(
        !header.contains("Domain") && !header.contains("ada"),
        "{header}"
    );
    assert_eq!(response.header("cache-control"), Some("no-store"));

    let http = server(Sessions::encrypted(keys(SECRET)).secure(false));
    let response = http.test().post("/login/ada").send().unwrap();
    let header = response.header("set-cookie").unwrap();
    assert!(
        header.starts_with("session=") && !header.contains("Secure"),
        "{header}"
    );
}

#[test]
fn an_unchanged_session_sets_no_cookie() {
    for sessions in all() {
        let http = server(sessions);
        assert_eq!(get(http, "/", "").header("set-cookie"), None);
        let ada = cookie(&post(http, "/login/ada", ""));
        assert_eq!(get(http, "/", &ada).header("set-cookie"), None);
    }
}

#[test]
fn logging_out_removes_the_cookie() {
    for sessions in all() {
        let http = server(sessions);
        let ada = cookie(&post(http, "/login/ada", ""));
        let response = post(http, "/logout", &ada);
        let header = response.header("set-cookie").unwrap();
        assert!(header.starts_with("__Host-session=; "), "{header}");
        assert!(header.contains("Max-Age=0"), "{header}");
        assert_eq!(post(http, "/logout", "").header("set-cookie"), None);
    }
}

#[test]
fn modified_cookies_are_ignored() {
    for sessions in all() {
        let http = server(sessions);
        let ada = cookie(&post(http, "/login/ada", ""));
        let mut changed = ada.clone().into_bytes();
        changed[20] ^= 1;
        let changed = String::from_utf8(changed).unwrap();
        let long = "a".repeat(10_000);
        for bad in [&*changed, &ada[1..], "", "x", "%", &long] {
            let response = get(http, "/", bad);
            assert_eq!(
                (response.status().as_u16(), &*response.text()),
                (200, "anonymous")
            );
        }
    }
}

#[test]
fn a_signed_cookie_is_not_valid_under_another_name() {
    let keys = keys(SECRET);
    let one = server(Sessions::signed(keys.clone()).name("one"));
    let two = server(Sessions::signed(keys).name("two"));
    let login = one.test().post("/login/ada").send().unwrap();
    let value = login.cookie("one").unwrap();
    let home = two.test().get("/").cookie("two", value).send().unwrap();
    assert_eq!(home.text(), "anonymous");
}

#[test]
fn cookies_of_older_keys_are_accepted_and_renewed() {
    for make in [Sessions::encrypted, Sessions::signed] {
        let old = cookie(&post(server(make(keys(OTHER))), "/login/ada", ""));
        assert_eq!(user(server(make(keys(SECRET))), &old), "anonymous");
        let both = server(make(keys(SECRET).accept(OTHER).unwrap()));
        let response = get(both, "/", &old);
        assert_eq!(response.text(), "ada");
        let new = cookie(&response);
        assert_eq!(user(server(make(keys(SECRET))), &new), "ada");
    }
}

#[test]
fn a_cookie_is_not_renewed_with_a_response_for_shared_caches() {
    let old = cookie(&post(
        server(Sessions::encrypted(keys(OTHER))),
        "/login/ada",
        "",
    ));
    let http = server(Sessions::encrypted(keys(SECRET).accept(OTHER).unwrap()));
    http.get("/cached/{control}", |req: Request| {
        Response::plain("style").header("cache-control", req.param("control").unwrap())
    });
    for (control, is_renewed) in [
        ("public, max-age=60", false),
        ("max-age=60", false),
        ("no-cache, Private", true),
        ("no-store", true),
    ] {
        let path = format!("/cached/{}", control.replace(' ', "%20"));
        let response = get(http, &path, &old);
        assert_eq!(response.header("cache-control"), Some(control));
        assert_eq!(response.cookie(NAME).is_some(), is_renewed, "{control}");
    }
    assert!(get(http, "/", &old).cookie(NAME).is_some());
}

#[test]
fn a_stored_session_is_renewed_together_with_its_cookie() {
    let store = MemoryStore::new();
    let id = "0123456789abcdef0123456789abcdef";
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let record = format!(
        r#"{{"begun":{now},"seen":{},"values":{{"user":"ada"}}}}"#,
        now - 3600
    );
    let hour = Duration::from_secs(3600);
    block_on(store.save(id, record, hour)).unwrap().unwrap();
    let http = server(Sessions::stored(store));
    http.get("/cached", |_: Request| {
        Response::plain("style").header("cache-control", "public")
    });
    assert_eq!(get(http, "/cached", id).cookie(NAME), None);
    assert_eq!(get(http, "/", id).cookie(NAME), Some(id));
    assert_eq!(get(http, "/", id).cookie(NAME), None);
}

#[test]
fn a_renewed_session_has_a_new_id() {
    let store = MemoryStore::new();
    let http = server(Sessions::stored(store.clone()));
    let first = cookie(&post(http, "/login/ada", ""));
    let second = cookie(&post(http, "/login/bob", &first));
    assert_ne!(first, second);
    assert_eq!(user(http, &first), "anonymous");
    assert_eq!(user(http, &second), "bob");
    assert_eq!(store.len(), 1);
}

#[test]
fn an_unknown_id_from_the_client_is_not_used() {
    let http = server(Sessions::stored(MemoryStore::new()));
    let made = "0123456789abcdef0123456789abcdef";
    let given = cookie(&post(http, "/later/ada", made));
    assert_ne!(given, made);
}

#[test]
fn values_over_the_limit_are_an_error_and_change_nothing() {
    for sessions in all() {
        let http = server(sessions).debug(true);
        let ada = cookie(&post(http, "/login/ada", ""));
        let response = post(http, "/fill", &ada);
        assert_eq!(response.status(), 500);
        assert!(
            response.text().contains("bytes, and"),
            "{}",
            response.text()
        );
        assert_eq!(user(http, &ada), "ada");
    }
}

#[test]
fn a_csrf_token_is_valid_until_the_session_is_renewed() {
    for sessions in all() {
        let http = server(sessions);
        let guarded = |session: &str, token: &str| {
            let request = http.test().post("/guarded").cookie(NAME, session);
            let request = request.header("x-csrf-token", token);
            request.send().unwrap().status().as_u16()
        };
        let response = get(http, "/token", "");
        let session = cookie(&response);
        let token = response.text().into_owned();
        assert_eq!(get(http, "/token", &session).text(), token);
        assert_eq!(guarded(&session, &token), 200);
        assert_eq!(guarded(&session, "x"), 403);
        assert_eq!(guarded("", &token), 403);
        let renewed = cookie(&post(http, "/login/ada", &session));
        assert_eq!(guarded(&renewed, &token), 403);
    }
}

#[test]
fn a_session_has_an_idle_timeout() {
    let http = server(Sessions::encrypted(keys(SECRET)).idle_timeout(Duration::ZERO));
    let ada = cookie(&post(http, "/login/ada", ""));
    assert_eq!(user(http, &ada), "anonymous");
}

#[test]
fn session_is_an_error_without_the_middleware() {
    let http = HttpServer::new().debug(true);
    http.get("/", |req: Request| {
        req.session()?;
        Ok::<_, HttpError>("")
    });
    let response = http.test().get("/").send().unwrap();
    assert_eq!(response.status(), 500);
    assert!(response.text().contains("has the middleware `Sessions`"));
}

#[test]
fn short_secrets_are_refused() {
    assert!(SessionKeys::new(&[0; 31]).is_err());
    assert!(keys(SECRET).accept(b"short").is_err());
    assert!(!format!("{:?}", keys(SECRET)).contains("0123"));
}

/// A store that fails while a flag is set.
struct Failing {
    inner: MemoryStore,
    fails: Rc<Cell<bool>>,
}

impl Failing {
    fn or<T: 'static>(
        &self,
        future: LocalFuture<Result<T, StoreError>>,
    ) -> LocalFuture<Result<T, StoreError>> {
        match self.fails.get() {
            true => Box::pin(async { Err("the disk is full".into()) }),
            false => future,
        }
    }
}

impl SessionStore for Failing {
    fn load(&self, id: &str) -> LocalFuture<Result<Option<String>, StoreError>> {
        self.or(self.inner.load(id))
    }

    fn save(
        &self,
        id: &str,
        record: String,
        lifetime: Duration,
    ) -> LocalFuture<Result<(), StoreError>> {
        self.or(self.inner.save(id, record, lifetime))
    }

    fn delete(&self, id: &str) -> LocalFuture<Result<(), StoreError>> {
        self.or(self.inner.delete(id))
    }
}

#[test]
fn a_session_that_another_request_ended_is_not_saved_again() {
    let clock = ManualClock::new();
    let _event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    let store = MemoryStore::new();
    let http = server(Sessions::stored(store.clone()));
    http.post("/slow", async |req: Request| {
        sleep(Duration::from_secs(1)).await;
        req.session()?.set("page", 7)?;
        Ok::<_, HttpError>("saved")
    });
    let ada = cookie(&post(http, "/login/ada", ""));
    let slow = http.test().post("/slow").cookie(NAME, &ada);
    let slow = slow.start().unwrap();
    post(http, "/logout", &ada);
    let response = slow.wait().unwrap();
    assert_eq!(response.text(), "saved");
    assert_eq!(response.header("set-cookie"), None);
    assert!(store.is_empty());
    assert_eq!(user(http, &ada), "anonymous");
}

#[test]
fn a_value_set_after_a_logout_starts_a_new_session() {
    for sessions in all() {
        let http = server(sessions);
        http.post("/switch", |req: Request| {
            let session = req.session()?;
            session.destroy();
            session.set("user", "bob")?;
            Ok::<_, HttpError>("switched")
        });
        let ada = cookie(&post(http, "/login/ada", ""));
        let bob = cookie(&post(http, "/switch", &ada));
        assert_ne!(ada, bob);
        assert_eq!(user(http, &bob), "bob");
    }
}

#[test]
fn a_store_error_is_a_500() {
    let fails = Rc::new(Cell::new(false));
    let http = server(Sessions::stored(Failing {
        inner: MemoryStore::new(),
        fails: Rc::clone(&fails),
    }));
    let ada = cookie(&post(http, "/login/ada", ""));
    fails.set(true);
    assert_eq!(get(http, "/", &ada).status(), 500);
    assert_eq!(post(http, "/login/bob", "").status(), 500);
    fails.set(false);
    assert_eq!(user(http, &ada), "ada");
}

#[test]
fn responses_that_depend_on_the_session_vary_by_the_cookie() {
    let http = server(Sessions::encrypted(keys(SECRET)));
    http.get("/public", |_: Request| "public");
    assert_eq!(get(http, "/", "").header("vary"), Some("cookie"));
    assert_eq!(get(http, "/public", "").header("vary"), None);
}
