//! Files of packets, whole or from some byte on, so that a download that broke off goes on.

use std::ops::Range;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::captures::no_such_capture;
use crate::control::problem::Problem;
use crate::worker::{Handle, StoredFile};

/// What a request wants of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    /// What lies behind its end.
    Nothing,
}

/// `GET /v1/captures/{name}/files/{index}`. The etag is the file's SHA-256.
pub(super) async fn get(
    State(handle): State<Handle>,
    path: Result<Path<(String, u32)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Path((key, index)) =
        path.map_err(|_unhelpful| Problem::not_found("files of a capture are numbered from 0"))?;
    let Some(file) = handle.file(key.clone(), index).await? else {
        return Err(match handle.capture(key.clone()).await? {
            Some(capture) => Problem::not_found(format!(
                "capture '{}' has no file {index} that could be read; it has {}",
                capture.name,
                match capture.segments.len() {
                    0 => "none yet".to_owned(),
                    1 => "1 file".to_owned(),
                    count => format!("{count} files"),
                }
            )),
            None => no_such_capture(&key),
        });
    };
    let etag = format!("\"{}\"", file.sha256);
    // A range of another file than the one that was begun means nothing.
    let is_same = headers.get(IF_RANGE).is_none_or(|value| value.as_bytes() == etag.as_bytes());
    let range = headers.get(RANGE).filter(|_| is_same).and_then(|value| value.to_str().ok());
    let wanted = range.map_or(Wanted::All, |range| wanted(range, file.size_bytes));
    answer(file, wanted, &etag)
}

fn answer(file: StoredFile, wanted: Wanted, etag: &str) -> Result<Response, Problem> {
    let size = file.size_bytes;
    let (status, range) = match wanted {
        Wanted::All => (StatusCode::OK, 0..size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => {
            let detail = format!("the file has {size} bytes; ask for some of them");
            let mut response =
                Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, detail).into_response();
            set(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
            return Ok(response);
        }
    };
    let length = range.end - range.start;
    let pieces = cut(file.read(range.start), length);
    let mut response = (status, Body::from_stream(pieces)).into_response();
    set(&mut response, CONTENT_TYPE, "application/octet-stream");
    set(&mut response, CONTENT_LENGTH, &length.to_string());
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, ETAG, etag);
    // Names of objects are plain: nothing in them ends a header or its quotes.
    set(&mut response, CONTENT_DISPOSITION, &format!("attachment; filename=\"{}\"", file.name));
    if status == StatusCode::PARTIAL_CONTENT {
        let (first, last) = (range.start, range.end.saturating_sub(1));
        set(&mut response, CONTENT_RANGE, &format!("bytes {first}-{last}/{size}"));
    }
    Ok(response)
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The first `length` bytes; an error where there are fewer, so that no cut file looks whole.
fn cut(
    pieces: BoxStream<'static, Result<Bytes, String>>,
    length: u64,
) -> impl futures_util::Stream<Item = Result<Bytes, String>> + Send {
    stream::unfold((pieces, length), |(mut pieces, left)| async move {
        if left == 0 {
            return None;
        }
        match pieces.next().await {
            Some(Ok(mut piece)) => {
                piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - u64::try_from(piece.len()).unwrap_or(left);
                Some((Ok(piece), (pieces, left)))
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "a download broke off");
                Some((Err(error), (pieces, 0)))
            }
            None => Some((Err("the file is shorter than it was sealed".to_owned()), (pieces, 0))),
        }
    })
}

/// One range of bytes (RFC 9110, 14.1.2). Several at once, and what is no range, are answered with the
/// whole file, as the standard allows.
fn wanted(range: &str, size: u64) -> Wanted {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Wanted::All;
    };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), _) if first >= size => Wanted::Nothing,
        (Ok(first), Ok(last)) if first <= last => {
            Wanted::Part(first..last.saturating_add(1).min(size))
        }
        (Ok(first), Err(_)) if last.trim().is_empty() => Wanted::Part(first..size),
        (Err(_), Ok(0)) if first.trim().is_empty() => Wanted::Nothing,
        (Err(_), Ok(_)) if first.trim().is_empty() && size == 0 => Wanted::Nothing,
        (Err(_), Ok(last)) if first.trim().is_empty() => {
            Wanted::Part(size.saturating_sub(last)..size)
        }
        _ => Wanted::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_what_the_standard_says() {
        for (range, expected) in [
            ("bytes=0-", Wanted::Part(0..10)),
            ("bytes=4-", Wanted::Part(4..10)),
            ("bytes=4-5", Wanted::Part(4..6)),
            ("bytes=4-99", Wanted::Part(4..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-4", Wanted::All),
            ("bytes=0-1,4-5", Wanted::All),
            ("lines=0-1", Wanted::All),
            ("bytes=x-", Wanted::All),
        ] {
            assert_eq!(wanted(range, 10), expected, "{range}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Nothing);
    }

    #[tokio::test]
    async fn what_is_shorter_than_it_was_ends_with_an_error() {
        let pieces = |texts: &[&'static str]| {
            let pieces: Vec<_> =
                texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect();
            stream::iter(pieces).boxed()
        };
        let whole: Vec<_> = cut(pieces(&["abc", "def"]), 4).collect().await;
        assert_eq!(whole, [Ok(Bytes::from("abc")), Ok(Bytes::from("d"))]);
        let short: Vec<_> = cut(pieces(&["abc"]), 4).collect().await;
        assert!(matches!(&short[..], [Ok(_), Err(_)]), "{short:?}");
    }
}
