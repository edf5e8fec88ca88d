//! The rules of [`Cors`], held against the answers of the npm module `cors` 2.8.5 in `vectors.json`.

use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};

use super::*;

const VECTORS: &str = include_str!("vectors.json");

/// Builds what the options object of a vector describes: `{"regex": …}` stands for an expression and
/// `{"prefix": …}` for a function that allows the origins with that prefix.
fn cors(options: &Map<String, Value>) -> Cors {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let texts = |value: &Value| value.as_array().unwrap().iter().map(text).collect::<Vec<_>>();
    let pattern = |value: &Value| match value.get("regex") {
        Some(regex) => OriginPattern::from(Regex::new(regex.as_str().unwrap()).unwrap()),
        None => OriginPattern::from(text(value)),
    };
    let mut cors = match options.get("origin") {
        None => Cors::default(),
        Some(Value::Bool(true)) => Cors::reflect(),
        Some(Value::Bool(false)) => Cors::off(),
        Some(Value::String(origin)) => Cors::origin(origin),
        Some(Value::Array(list)) => Cors::origins(list.iter().map(pattern)),
        Some(rule) => match rule.get("prefix") {
            Some(prefix) => {
                let prefix = text(prefix);
                Cors::with(move |origin| origin.starts_with(&prefix))
            }
            None => Cors::matching(Regex::new(rule["regex"].as_str().unwrap()).unwrap()),
        },
    };
    for (option, value) in options {
        cors = match option.as_str() {
            "origin" => cors,
            "credentials" => cors.credentials(value.as_bool().unwrap()),
            "methods" => cors.methods(texts(value)),
            "allowedHeaders" => cors.allowed_headers(texts(value)),
            "exposedHeaders" => cors.exposed_headers(texts(value)),
            "maxAge" => cors.max_age(Duration::from_secs(value.as_u64().unwrap())),
            "optionsSuccessStatus" => {
                cors.options_success_status(StatusCode::from_u16(value.as_u64().unwrap() as u16).unwrap())
            }
            "preflightContinue" => cors.preflight_continue(value.as_bool().unwrap()),
            other => panic!("unknown option {other}"),
        };
    }
    cors
}

fn headers(value: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        headers.insert(name.parse::<HeaderName>().unwrap(), value.as_str().unwrap().parse().unwrap());
    }
    headers
}

#[test]
fn answers_are_those_of_the_npm_module() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert!(vectors.len() > 200);
    for vector in &vectors {
        let cors = cors(vector["options"].as_object().unwrap());
        let method: Method = vector["method"].as_str().unwrap().parse().unwrap();
        let request = headers(&vector["request"]);
        let expected = headers(&vector["response"]);
        let preflight = if method == Method::OPTIONS { cors.preflight(&request) } else { None };
        assert_eq!(vector["continues"], Value::Bool(preflight.is_none()), "{vector}");
        let mut actual = headers(&vector["before"]);
        cors.apply(&method, &request, &mut actual);
        if let Some(preflight) = preflight {
            assert_eq!(vector["status"], preflight.status().as_u16(), "{vector}");
            actual.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            if vector.get("before").is_none() {
                assert_eq!(preflight.headers(), &expected, "{vector}");
            }
        }
        assert_eq!(actual, expected, "{vector}");
    }
}

#[test]
fn several_origin_headers_count_as_one_joined_value() {
    let mut request = HeaderMap::new();
    request.append(ORIGIN, HeaderValue::from_static("http://a"));
    request.append(ORIGIN, HeaderValue::from_static("http://b"));
    let mut response = HeaderMap::new();
    Cors::origins(["http://a", "http://b"]).apply(&Method::GET, &request, &mut response);
    assert_eq!(response.get(ACCESS_CONTROL_ALLOW_ORIGIN), None);
    Cors::reflect().apply(&Method::GET, &request, &mut response);
    assert_eq!(response[ACCESS_CONTROL_ALLOW_ORIGIN], "http://a, http://b");
}

#[test]
fn only_reflect_takes_notice_of_an_origin_outside_ascii() {
    let mut request = HeaderMap::new();
    request.insert(ORIGIN, HeaderValue::from_bytes(b"http://\xe9").unwrap());
    let all = Regex::new("").unwrap();
    assert!(Cors::with(|_| true).preflight(&request).is_none());
    let listed = Cors::matching(all).preflight(&request).unwrap();
    assert_eq!(listed.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN), None);
    let reflected = Cors::reflect().preflight(&request).unwrap();
    assert_eq!(reflected.headers()[ACCESS_CONTROL_ALLOW_ORIGIN].as_bytes(), b"http://\xe9");
}

#[test]
fn methods_and_header_names_may_be_typed() {
    let cors = Cors::any().methods([Method::GET, Method::POST]).allowed_headers([::http::header::AUTHORIZATION]);
    let response = cors.preflight(&HeaderMap::new()).unwrap();
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_METHODS], "GET,POST");
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "authorization");
}

#[test]
#[should_panic(expected = "not a valid value for an HTTP header")]
fn an_origin_that_no_header_can_carry_is_refused() {
    Cors::origin("http://a\r\nset-cookie: x");
}
