//! The bytes of an HTTP/1.1 answer as a response (RFC 9112). It never reads more than it is given.

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// Names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// Unpacked when it was chunked.
    pub body: Vec<u8>,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// Its head.
    #[error("its head has more than {HEAD_LIMIT} bytes")]
    LongHead,
    /// The first line.
    #[error("its first line is no status line")]
    StatusLine,
    /// A header.
    #[error("one of its header lines has no colon, or is no text")]
    Header,
    /// The length.
    #[error("its content-length is no number, or there are two that differ")]
    Length,
    /// A chunk.
    #[error("one of its chunks has no proper length")]
    Chunk,
}

const HEAD_LIMIT: usize = 64 << 10;

/// The response, if the bytes hold the whole of it. `ended` says that no more bytes will come.
pub fn parse(mut bytes: &[u8], ended: bool) -> Result<Option<Response>, ResponseError> {
    loop {
        let Some(head_length) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if bytes.len() > HEAD_LIMIT { Err(ResponseError::LongHead) } else { Ok(None) };
        };
        let (head, rest) = bytes.split_at(head_length);
        let rest = rest.get(4..).unwrap_or_default();
        let head = std::str::from_utf8(head).map_err(|_| ResponseError::Header)?;
        let mut lines = head.split("\r\n");
        let status = status(lines.next().unwrap_or_default()).ok_or(ResponseError::StatusLine)?;
        let headers: Vec<_> = lines.map(header).collect::<Option<_>>().ok_or(ResponseError::Header)?;
        if (100..200).contains(&status) && status != 101 {
            // An interim answer: the real one follows (RFC 9110 section 15.2).
            bytes = rest;
            continue;
        }
        let body = body(status, &headers, rest, ended)?;
        return Ok(body.map(|body| Response { status, headers, body }));
    }
}

fn status(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let digits = rest.get(..3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    rest.get(3..).filter(|reason| reason.is_empty() || reason.starts_with(' '))?;
    digits.parse().ok()
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let is_name = !name.is_empty() && !name.contains(|c: char| c.is_ascii_whitespace() || c.is_control());
    is_name.then(|| (name.to_ascii_lowercase(), value.trim().to_owned()))
}

/// RFC 9112 section 6.3.
fn body(
    status: u16,
    headers: &[(String, String)],
    rest: &[u8],
    ended: bool,
) -> Result<Option<Vec<u8>>, ResponseError> {
    if matches!(status, 101 | 204 | 304) {
        return Ok(Some(Vec::new()));
    }
    let mut encodings = values(headers, "transfer-encoding");
    if encodings.any(|value| value.eq_ignore_ascii_case("chunked")) {
        return chunks(rest);
    }
    let mut lengths = values(headers, "content-length");
    let Some(first) = lengths.next() else { return Ok(ended.then(|| rest.to_vec())) };
    let only_digits = first.bytes().all(|byte| byte.is_ascii_digit());
    if !only_digits || lengths.any(|other| other != first) {
        return Err(ResponseError::Length);
    }
    let length: usize = first.parse().map_err(|_| ResponseError::Length)?;
    Ok(rest.get(..length).map(<[u8]>::to_vec))
}

fn values<'h>(headers: &'h [(String, String)], name: &'static str) -> impl Iterator<Item = &'h str> {
    headers.iter().filter(move |(is, _)| is == name).map(|(_, value)| value.as_str())
}

/// RFC 9112 section 7.1. Trailers are left out.
fn chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, ResponseError> {
    let mut body = Vec::new();
    loop {
        let Some(line_length) = rest.windows(2).position(|window| window == b"\r\n") else {
            return if rest.len() > HEAD_LIMIT { Err(ResponseError::Chunk) } else { Ok(None) };
        };
        let (line, data) = rest.split_at(line_length);
        let data = data.get(2..).unwrap_or_default();
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let digits = std::str::from_utf8(digits).map_err(|_| ResponseError::Chunk)?;
        let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let length = usize::from_str_radix(digits, 16).ok().filter(|_| is_hex);
        let length = length.filter(|length| *length < usize::MAX / 2).ok_or(ResponseError::Chunk)?;
        if length == 0 {
            let trailers_end =
                data.starts_with(b"\r\n") || data.windows(4).any(|window| window == b"\r\n\r\n");
            return Ok(trailers_end.then_some(body));
        }
        let Some(chunk) = data.get(..length) else { return Ok(None) };
        let Some(end) = data.get(length..length + 2) else { return Ok(None) };
        if end != b"\r\n" {
            return Err(ResponseError::Chunk);
        }
        body.extend_from_slice(chunk);
        rest = data.get(length + 2..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Response {
        for length in 0..bytes.len() {
            assert_eq!(parse(bytes.get(..length).unwrap(), false), Ok(None), "at {length}");
        }
        parse(bytes, false).unwrap().unwrap()
    }

    #[test]
    fn a_body_of_known_length_is_whole_when_it_is_there() {
        let response = whole(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX:  y \r\n\r\nhello");
        assert_eq!((response.status, response.body.as_slice()), (200, &b"hello"[..]));
        assert_eq!(response.headers.get(1), Some(&("x".to_owned(), "y".to_owned())));
    }

    #[test]
    fn chunks_are_joined() {
        let response = whole(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
        );
        assert_eq!(response.body, b"hello!");
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        let bytes = b"HTTP/1.0 404 Not Found\r\n\r\ngone";
        assert_eq!(parse(bytes, false), Ok(None));
        assert_eq!(parse(bytes, true).unwrap().unwrap().body, b"gone");
    }

    #[test]
    fn interim_answers_are_skipped() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(parse(bytes, false).unwrap().unwrap().status, 204);
    }

    #[test]
    fn nonsense_is_refused() {
        let cases: [(&[u8], ResponseError); 6] = [
            (b"SSH-2.0-x\r\n\r\n", ResponseError::StatusLine),
            (b"HTTP/1.1 2000 OK\r\n\r\n", ResponseError::StatusLine),
            (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", ResponseError::Header),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ResponseError::Length),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", ResponseError::Length),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", ResponseError::Chunk),
        ];
        for (bytes, error) in cases {
            assert_eq!(parse(bytes, false), Err(error));
        }
        assert_eq!(parse(&vec![b'x'; HEAD_LIMIT + 1], false), Err(ResponseError::LongHead));
    }
}
