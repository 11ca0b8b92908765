//! The status page of the role `admin`. There is no sign-in yet, so the configuration lets it
//! listen on loopback only, and it answers only under its own address: a page elsewhere whose
//! name was rebound to 127.0.0.1 reads nothing.

use std::{net::SocketAddr, sync::Arc};

use askama::Template;
use axum::{
    Form, Router,
    extract::{Request, State as Shared},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use waxseal_core::time::UnixTime;

use super::{Csrf, Language, Session, SessionId, Sessions, Snapshot, Watched, Words};
use crate::clock::Clock;

/// What the pages share.
struct Admin {
    watched: Watched,
    sessions: Sessions,
    csrf: Csrf,
    address: SocketAddr,
}

/// The role `admin` at this address; `None` where the system has no randomness.
pub fn admin(watched: Watched, address: SocketAddr) -> Option<Router> {
    let csrf = Csrf::new()?;
    let admin = Arc::new(Admin { watched, sessions: Sessions::default(), csrf, address });
    let router = Router::new()
        .route("/", get(status))
        .route("/language", post(language))
        .route("/style.css", get(style))
        .fallback(missing)
        .layer(middleware::from_fn_with_state(Arc::clone(&admin), own_address))
        .with_state(admin);
    Some(router)
}

#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    words: Words,
    languages: Vec<(&'static str, &'static str)>,
    token: String,
    version: &'static str,
    snapshot: Snapshot,
}

async fn status(Shared(admin): Shared<Arc<Admin>>, headers: HeaderMap) -> Response {
    let visitor = match admin.visitor(&headers) {
        Some(visitor) => visitor,
        None => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    let Some(token) = admin.csrf.issue(&visitor.id) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let name = |language: Language| (language.code(), Words { language }.t("language"));
    let page = StatusPage {
        words: Words { language: visitor.language },
        languages: Language::ALL.into_iter().map(name).collect(),
        token,
        version: env!("CARGO_PKG_VERSION"),
        snapshot: admin.watched.snapshot().await,
    };
    match page.render() {
        Ok(html) => (visitor.cookie(), Html(html)).into_response(),
        Err(error) => {
            tracing::error!("the status page cannot be rendered: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Deserialize)]
struct LanguageForm {
    token: String,
    language: String,
}

async fn language(
    Shared(admin): Shared<Arc<Admin>>,
    headers: HeaderMap,
    Form(form): Form<LanguageForm>,
) -> Response {
    let words = Words { language: accepted(&headers) };
    match admin.resume(&headers) {
        Some((id, _)) if admin.csrf.is_good(&id, &form.token) => {
            if let Some(language) = Language::named(&form.language) {
                admin.sessions.choose(&id, language);
            }
            Redirect::to("/").into_response()
        }
        Some(_) | None => (StatusCode::FORBIDDEN, words.t("form_expired")).into_response(),
    }
}

async fn style() -> impl IntoResponse {
    let css = include_str!("../../templates/style.css");
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], css)
}

async fn missing(headers: HeaderMap) -> impl IntoResponse {
    let words = Words { language: accepted(&headers) };
    (StatusCode::NOT_FOUND, words.t("not_found"))
}

/// Refuses requests for another name (DNS rebinding).
async fn own_address(Shared(admin): Shared<Arc<Admin>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let port = admin.address.port();
    let own = [admin.address.to_string(), format!("localhost:{port}"), format!("127.0.0.1:{port}")];
    match host {
        Some(host) if own.iter().any(|own| own == host) => next.run(request).await,
        Some(_) | None => {
            let words = Words { language: accepted(request.headers()) };
            (StatusCode::MISDIRECTED_REQUEST, words.t("wrong_host")).into_response()
        }
    }
}

fn accepted(headers: &HeaderMap) -> Language {
    let header = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    header.map(Language::accepted).unwrap_or_default()
}

/// Who looks at a page.
struct Visitor {
    id: SessionId,
    language: Language,
    /// To be set, where the session is new.
    fresh: Option<String>,
}

impl Visitor {
    fn cookie(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let set = |value: &String| {
            // No `Secure`: this role speaks plain HTTP on loopback only.
            HeaderValue::try_from(format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict"))
        };
        if let Some(Ok(cookie)) = self.fresh.as_ref().map(set) {
            headers.insert(header::SET_COOKIE, cookie);
        }
        headers
    }
}

const COOKIE: &str = "waxseal";

impl Admin {
    fn visitor(&self, headers: &HeaderMap) -> Option<Visitor> {
        if let Some((id, session)) = self.resume(headers) {
            let language = session.language.unwrap_or_else(|| accepted(headers));
            return Some(Visitor { id, language, fresh: None });
        }
        let (id, cookie) = self.sessions.begin(now())?;
        Some(Visitor { id, language: accepted(headers), fresh: Some(cookie) })
    }

    fn resume(&self, headers: &HeaderMap) -> Option<(SessionId, Session)> {
        let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
        let ours = cookies.split(';').take(50).filter_map(|pair| pair.trim().split_once('='));
        let (_, cookie) = ours.into_iter().find(|(name, _)| *name == COOKIE)?;
        self.sessions.resume(cookie, now())
    }
}

fn now() -> UnixTime {
    Clock::system().now()
}
