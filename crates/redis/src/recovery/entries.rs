//! The entries of streams, as they are read: an answer is not taken apart, and an entry is one piece of it.

use sockeye_cluster::recovery::Position;

use crate::connection::resp::Reader;

/// Names and values of an entry's fields, as Redis has sent them.
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    /// How many bytes they have.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the first field has this name and this value.
    pub(crate) fn begin_with(&self, name: &str, value: &str) -> bool {
        let mut reader = Reader::new(&self.0);
        reader.list().is_some() && reader.text() == Some(name.as_bytes()) && reader.text() == Some(value.as_bytes())
    }

    /// The names and the values. What is no text ends them.
    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        let mut reader = Reader::new(&self.0);
        let count = reader.list().unwrap_or_default() / 2;
        let mut text = || std::str::from_utf8(reader.text()?).ok();
        (0..count).map_while(|_| Some((text()?, text()?))).collect()
    }
}

/// The entries in an answer: the stream's name, the entry's id and its fields.
pub(crate) struct Entries<'a> {
    reader: Reader<'a>,
    streams: usize,
    stream: &'a [u8],
    entries: usize,
}

impl<'a> Entries<'a> {
    /// Those of an answer to `XRANGE` or `XREVRANGE`, which does not say the stream's name; none if it is no list.
    pub(crate) fn of_range(answer: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(answer);
        let entries = reader.list()?;
        Some(Self { reader, streams: 0, stream: &[], entries })
    }

    /// Those of an answer to `XREAD`; there are none in one that says that nothing came.
    pub(crate) fn of_read(answer: &'a [u8]) -> Self {
        let mut reader = Reader::new(answer);
        let streams = reader.list().unwrap_or_default();
        Self { reader, streams, stream: &[], entries: 0 }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], Position, Fields);

    fn next(&mut self) -> Option<Self::Item> {
        while self.entries == 0 {
            self.streams = self.streams.checked_sub(1)?;
            self.stream = self.reader.text()?;
            self.entries = self.reader.list()?;
        }
        self.entries -= 1;
        // The id and the fields.
        self.reader.list().filter(|parts| *parts == 2)?;
        let id = std::str::from_utf8(self.reader.text()?).ok()?.parse().ok()?;
        let fields = Fields(self.reader.whole()?.to_vec());
        Some((self.stream, id, fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"%2\r\n$1\r\na\r\n*2\r\n\
        *2\r\n$3\r\n1-0\r\n*4\r\n$3\r\nuid\r\n$1\r\nx\r\n$1\r\nn\r\n$2\r\n\r\n\r\n\
        *2\r\n$3\r\n1-1\r\n*0\r\n\
        $1\r\nb\r\n*1\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\nk\r\n$1\r\n\xff\r\n";

    #[test]
    fn all_entries_of_all_streams() {
        let found: Vec<_> = Entries::of_read(ANSWER).collect();
        let ids: Vec<_> = found.iter().map(|(stream, id, _)| (*stream, id.to_string())).collect();
        let expected = [(&b"a"[..], "1-0"), (b"a", "1-1"), (b"b", "2-0")].map(|(name, id)| (name, id.to_owned()));
        assert_eq!(ids, expected);
        let pairs: Vec<_> = found.iter().map(|(_, _, fields)| fields.pairs()).collect();
        assert_eq!(pairs, [vec![("uid", "x"), ("n", "\r\n")], vec![], vec![]]);
        let begin: Vec<_> = found.iter().map(|(_, _, fields)| fields.begin_with("uid", "x")).collect();
        assert_eq!(begin, [true, false, false]);
        assert!(found.iter().all(|(_, _, fields)| !fields.begin_with("uid", "y") && !fields.begin_with("n", "x")));
    }

    #[test]
    fn all_entries_of_a_range() {
        let answer = ANSWER.split_at(b"%2\r\n$1\r\na\r\n".len()).1;
        let ids: Vec<_> = Entries::of_range(answer).unwrap().map(|(_, id, _)| id.to_string()).collect();
        assert_eq!(ids, ["1-0", "1-1"]);
        assert_eq!(Entries::of_range(b"*0\r\n").unwrap().count(), 0);
        assert!(Entries::of_range(b":1\r\n").is_none());
    }

    #[test]
    fn nothing_came() {
        for answer in ["_\r\n", "*-1\r\n", "%0\r\n", ":1\r\n", ""] {
            assert_eq!(Entries::of_read(answer.as_bytes()).count(), 0, "{answer}");
        }
        assert_eq!(Entries::of_read(ANSWER.get(..40).unwrap()).count(), 0);
    }
}
