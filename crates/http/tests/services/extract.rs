//! Typed parameters, queries, forms and JSON.

use std::collections::BTreeMap;

use serde::Deserialize;
use uptick_http::test::TestResponse;
use uptick_http::{Form, HttpError, HttpServer, Request};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Newest,
    Oldest,
}

#[derive(Debug, Deserialize)]
struct Search {
    text: String,
    page: Option<u32>,
    #[serde(default)]
    tag: Vec<String>,
    #[serde(default)]
    exact: bool,
    order: Option<Order>,
}

#[derive(Debug, Deserialize)]
struct Address {
    city: String,
    zip: u32,
}

#[derive(Debug, Deserialize)]
struct User {
    name: String,
    addresses: Vec<Address>,
}

fn search(target: &str) -> TestResponse {
    let http = HttpServer::new();
    http.get("/search", |req: Request| {
        let search: Search = req.query()?;
        Ok::<_, HttpError>(format!(
            "{} {:?} {:?} {} {:?}",
            search.text, search.page, search.tag, search.exact, search.order
        ))
    });
    http.test().get(target).send().unwrap()
}

fn posted(content_type: &str, body: &'static str) -> (u16, String) {
    let http = HttpServer::new();
    http.post("/json", async |req: Request| {
        let user: User = req.json().await?;
        let cities = user.addresses.iter();
        let cities: Vec<_> = cities.map(|a| format!("{} {}", a.city, a.zip)).collect();
        Ok::<_, HttpError>(format!("{}: {}", user.name, cities.join(", ")))
    });
    http.post("/form", async |req: Request| {
        let search: Search = req.form().await?;
        Ok::<_, HttpError>(format!("{search:?}"))
    });
    let path = match content_type {
        "application/json" => "/json",
        _ => "/form",
    };
    let request = http.test().post(path).header("content-type", content_type);
    let response = request.body(body).send().unwrap();
    (response.status().as_u16(), response.text().into_owned())
}

#[test]
fn a_query_is_a_struct() {
    let response = search("/search?text=a+b%26c&page=2&tag=x&tag=y&exact=on&order=newest");
    assert_eq!(
        response.text(),
        r#"a b&c Some(2) ["x", "y"] true Some(Newest)"#
    );
}

#[test]
fn optional_values_can_be_absent_or_empty() {
    assert_eq!(search("/search?text=").text(), " None [] false None");
    assert_eq!(
        search("/search?text=a&page=&order=").text(),
        "a None [] false None"
    );
}

#[test]
fn an_invalid_query_names_the_parameter_and_the_expected_type() {
    let cases = [
        (
            "/search?text=a&page=two",
            r#"the query parameter "page" is not valid: invalid value: string "two", expected u32"#,
        ),
        (
            "/search?text=a&page=-1",
            r#"the query parameter "page" is not valid: invalid value: string "-1", expected u32"#,
        ),
        (
            "/search?page=1",
            "the query is not valid: missing field `text`",
        ),
        (
            "/search?text=a&text=b",
            r#"the query parameter "text" is not valid: expected one value, found 2"#,
        ),
        (
            "/search?text=a&exact=yes",
            r#"the query parameter "exact" is not valid: invalid value: string "yes", expected a boolean"#,
        ),
        (
            "/search?text=a&order=best",
            "unknown variant `best`, expected `newest` or `oldest`",
        ),
    ];
    for (target, expected) in cases {
        let response = search(target);
        assert_eq!(response.status(), 400, "{target}");
        assert!(
            response.text().contains(expected),
            "{target}: {}",
            response.text()
        );
    }
}

#[test]
fn a_tuple_in_a_query_has_all_values_of_its_name() {
    let http = HttpServer::new();
    http.get("/", |req: Request| {
        let query: BTreeMap<String, (u8, u8)> = req.query()?;
        Ok::<_, HttpError>(format!("{query:?}"))
    });
    let get = |target: &str| http.test().get(target).send().unwrap().text().into_owned();
    assert_eq!(get("/?at=1&at=2"), r#"{"at": (1, 2)}"#);
    for (target, found) in [("/?at=1", 1), ("/?at=1&at=2&at=3", 3)] {
        let expected =
            format!("the query parameter \"at\" is not valid: expected 2 values, found {found}\n");
        assert_eq!(get(target), expected);
    }
}

#[test]
fn input_is_not_reflected_as_html() {
    let response = search("/search?text=a&page=%3Cscript%3E%00");
    assert_eq!(response.status(), 400);
    let content_type = response.header("content-type").unwrap();
    assert!(content_type.starts_with("text/plain"), "{content_type}");
    assert!(!response.text().contains('\0'), "{}", response.text());
}

#[test]
fn a_query_with_too_many_names_is_refused() {
    let names = |count: usize| format!("/search?text=a&{}", "b&".repeat(count - 1));
    assert_eq!(search(&names(1_000)).status(), 200);
    let refused = search(&names(1_001));
    assert_eq!(refused.status(), 400);
    assert!(
        refused.text().contains("more than 1000 names"),
        "{}",
        refused.text()
    );
}

#[test]
fn parameters_are_tuples_structs_and_single_values() {
    #[derive(Deserialize)]
    struct Post {
        user: String,
        post: u64,
    }

    let http = HttpServer::new();
    http.get("/one/{id}", |req: Request| {
        Ok::<_, HttpError>(req.params::<u64>()?.to_string())
    });
    http.get("/tuple/{user}/{post}", |req: Request| {
        let (user, post): (String, u64) = req.params()?;
        Ok::<_, HttpError>(format!("{user} {post}"))
    });
    http.get("/struct/{user}/{post}", |req: Request| {
        let Post { user, post } = req.params()?;
        Ok::<_, HttpError>(format!("{user} {post}"))
    });
    http.get("/map/{user}/{post}", |req: Request| {
        let params: BTreeMap<String, String> = req.params()?;
        Ok::<_, HttpError>(format!("{params:?}"))
    });
    http.get("/none", |req: Request| {
        let (id,): (u64,) = req.params()?;
        Ok::<_, HttpError>(id.to_string())
    });
    let get = |target: &str| {
        let response = http.test().get(target).send().unwrap();
        (response.status().as_u16(), response.text().into_owned())
    };
    assert_eq!(get("/one/7"), (200, "7".into()));
    assert_eq!(get("/tuple/a%20b/7"), (200, "a b 7".into()));
    assert_eq!(get("/struct/ada/7"), (200, "ada 7".into()));
    assert_eq!(
        get("/map/ada/7"),
        (200, r#"{"post": "7", "user": "ada"}"#.into())
    );
    for (target, name) in [("/one/seven", "id"), ("/tuple/ada/seven", "post")] {
        let expected = format!(
            "the path parameter \"{name}\" is not valid: invalid value: string \"seven\", expected u64\n"
        );
        assert_eq!(get(target), (400, expected));
    }
    let (status, text) = get("/struct/ada/seven");
    assert_eq!(status, 400);
    assert!(text.contains("the path parameter \"post\""), "{text}");
    let (status, text) = get("/none");
    assert_eq!(status, 400);
    assert!(text.contains("expected 1 values, found 0"), "{text}");
}

#[test]
fn invalid_json_names_the_path_of_the_value() {
    let json = "application/json";
    let ok = r#"{"name":"Ada","addresses":[{"city":"London","zip":1}]}"#;
    assert_eq!(posted(json, ok), (200, "Ada: London 1".into()));
    let (status, text) = posted(
        json,
        r#"{"name":"Ada","addresses":[{"city":"London","zip":1},{"city":"Paris","zip":"x"}]}"#,
    );
    assert_eq!(status, 422);
    assert!(
        text.contains(r#"the value of "addresses[1].zip" in JSON is not valid"#)
            && text.contains("expected u32"),
        "{text}"
    );
    let (status, text) = posted(json, r#"{"name":"Ada"}"#);
    assert_eq!(status, 422);
    assert!(text.contains("missing field `addresses`"), "{text}");
    let (status, text) = posted(json, r#"{"name":"#);
    assert_eq!(status, 400);
    assert!(text.contains("the body is not JSON"), "{text}");
}

#[test]
fn invalid_forms_name_the_value() {
    let form = "application/x-www-form-urlencoded";
    let (status, text) = posted(form, "text=a&page=2&tag=x");
    assert_eq!(status, 200, "{text}");
    let (status, text) = posted(form, "text=a&page=two");
    assert_eq!(status, 422);
    assert!(
        text.contains(r#"the value of "page" in the form is not valid"#),
        "{text}"
    );
}

#[test]
fn a_form_can_be_read_as_pairs() {
    let http = HttpServer::new();
    http.post("/", async |req: Request| {
        let form: Form = req.form().await?;
        let pairs: Vec<_> = form.iter().collect();
        Ok::<_, HttpError>(format!("{pairs:?}"))
    });
    let request = http.test().post("/");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let response = request.body("b=1&a=2&b=3").send().unwrap();
    assert_eq!(response.text(), r#"[("b", "1"), ("a", "2"), ("b", "3")]"#);
}
