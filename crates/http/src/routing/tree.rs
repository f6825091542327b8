//! A radix tree of patterns that are not regular expressions.
//!
//! A path is compared in one walk: each node tries text first, then parameters, then the rest of the path. A node is visited at most once,
//! because the position in the path at which it is reached depends only on its ancestors.

/// Maximum number of parameters of a match without an allocation.
const INLINE: usize = 4;

/// A node with its descendants.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// The text between the parent and this node.
    text: Box<[u8]>,
    /// The first byte of the text of each of the `children`.
    firsts: Vec<u8>,
    children: Vec<Tree>,
    /// The nodes after a parameter, by the rest of its segment, longest first.
    params: Vec<(Box<[u8]>, Tree)>,
    /// The pattern that ends with `{*name}` here.
    rest: Option<usize>,
    /// The pattern that ends here.
    end: Option<usize>,
}

/// The ranges of the parameters in a path.
#[derive(Debug, Default)]
pub(super) struct Spans {
    inline: [(usize, usize); INLINE],
    more: Vec<(usize, usize)>,
}

impl Spans {
    fn set(&mut self, index: usize, span: (usize, usize)) {
        match self.inline.get_mut(index) {
            Some(slot) => *slot = span,
            None => {
                self.more.truncate(index - INLINE);
                self.more.push(span);
            }
        }
    }

    /// Returns the values of the parameters in `path`, the path that was matched.
    pub(super) fn texts<'p>(&self, path: &'p [u8]) -> impl Iterator<Item = &'p [u8]> {
        let spans = self.inline.iter().chain(&self.more);
        spans.map(|(start, end)| path.get(*start..*end).unwrap_or_default())
    }
}

impl Tree {
    /// Returns the slot for the index of a pattern; `key` is the [key of the pattern](super::pattern::RoutePattern::Plain).
    pub(super) fn slot(&mut self, key: &str) -> &mut Option<usize> {
        let (text, parameter) = key.split_at(key.find('{').unwrap_or(key.len()));
        let node = self.descend(text.as_bytes());
        let Some((name, after)) = parameter.split_once('}') else {
            return &mut node.end;
        };
        if name.starts_with("{*") {
            return &mut node.rest;
        }
        let (suffix, after) = after.split_at(after.find('/').unwrap_or(after.len()));
        node.child_after_parameter(suffix.as_bytes()).slot(after)
    }

    /// Returns the descendant after a text, which is created if it does not exist.
    fn descend(&mut self, text: &[u8]) -> &mut Tree {
        let Some(first) = text.first() else {
            return self;
        };
        let index = self.firsts.iter().position(|other| other == first);
        let index = index.unwrap_or_else(|| {
            self.firsts.push(*first);
            self.children.push(Tree {
                text: text.into(),
                ..Tree::default()
            });
            self.children.len() - 1
        });
        let child = &mut self.children[index];
        let same = child.text.iter().zip(text).take_while(|(a, b)| a == b);
        let common = same.count();
        if common < child.text.len() {
            child.split(common);
        }
        child.descend(&text[common..])
    }

    /// Inserts a parent node with the first `at` bytes of the text.
    fn split(&mut self, at: usize) {
        let mut lower = std::mem::take(self);
        let (text, rest) = lower.text.split_at(at);
        self.text = text.into();
        self.firsts.extend(rest.first());
        lower.text = rest.into();
        self.children.push(lower);
    }

    fn child_after_parameter(&mut self, suffix: &[u8]) -> &mut Tree {
        let index = self.params.iter().position(|(other, _)| **other == *suffix);
        let index = index.unwrap_or_else(|| {
            let longer = |(other, _): &(Box<[u8]>, _)| other.len() > suffix.len();
            let index = self.params.partition_point(longer);
            self.params.insert(index, (suffix.into(), Tree::default()));
            index
        });
        &mut self.params[index].1
    }

    /// Returns the pattern without parameters that is equal to the path.
    #[inline(always)]
    pub(super) fn find_text(&self, mut path: &[u8]) -> Option<usize> {
        let mut node = self;
        loop {
            path = node.strip_text(path)?;
            match path.first() {
                Some(first) => node = node.child(*first)?,
                None => return node.end,
            }
        }
    }

    /// Returns the most specific pattern for a path, and stores the ranges of its parameters in `spans`.
    pub(super) fn find(&self, path: &[u8], spans: &mut Spans) -> Option<usize> {
        self.find_from(path, 0, 0, spans)
    }

    /// Returns the path after the node's text. The first byte has already been compared.
    #[inline]
    fn strip_text<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        match self.text.len() {
            0 => Some(path),
            1 => path.get(1..),
            _ => path.strip_prefix(&*self.text),
        }
    }

    /// Compares the path from `start`, after the first `parameters` parameters.
    fn find_from(
        mut self: &Self,
        path: &[u8],
        start: usize,
        parameters: usize,
        spans: &mut Spans,
    ) -> Option<usize> {
        let mut left = self.strip_text(path.get(start..)?)?;
        while self.params.is_empty() && self.rest.is_none() {
            // The node has only one continuation.
            match left.first() {
                Some(first) => self = self.child(*first)?,
                None => return self.end,
            }
            left = self.strip_text(left)?;
        }
        let start = path.len() - left.len();
        let Some(first) = left.first() else {
            if self.end.is_none() && self.rest.is_some() {
                spans.set(parameters, (start, start));
            }
            return self.end.or(self.rest);
        };
        if let Some(child) = self.child(*first)
            && let Some(found) = child.find_from(path, start, parameters, spans)
        {
            return Some(found);
        }
        if !self.params.is_empty() {
            let slash = left.iter().position(|byte| *byte == b'/');
            let segment = &left[..slash.unwrap_or(left.len())];
            for (suffix, node) in &self.params {
                let value = segment.strip_suffix(&**suffix);
                let Some(value) = value.filter(|value| !value.is_empty()) else {
                    continue;
                };
                spans.set(parameters, (start, start + value.len()));
                let end = start + segment.len();
                if let Some(found) = node.find_from(path, end, parameters + 1, spans) {
                    return Some(found);
                }
            }
        }
        self.rest
            .inspect(|_| spans.set(parameters, (start, path.len())))
    }

    #[inline]
    fn child(&self, first: u8) -> Option<&Tree> {
        let index = self.firsts.iter().position(|other| *other == first)?;
        self.children.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(keys: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(tree.slot(key).replace(index), None, "{key}");
        }
        tree
    }

    fn find(tree: &Tree, path: &str) -> Option<(usize, Vec<String>)> {
        let mut spans = Spans::default();
        let index = tree.find(path.as_bytes(), &mut spans)?;
        let texts = spans.texts(path.as_bytes()).filter(|text| !text.is_empty());
        let texts = texts.map(|text| str::from_utf8(text).unwrap().to_owned());
        Some((index, texts.collect()))
    }

    #[test]
    fn texts_share_prefixes() {
        let keys = ["/abc", "/abd", "/ab", "/", "/abcde", "/b"];
        let tree = tree(&keys);
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(tree.find_text(key.as_bytes()), Some(index));
            assert_eq!(find(&tree, key), Some((index, vec![])));
        }
        for path in ["", "/a", "/abcd", "/abcdef", "b"] {
            assert_eq!(tree.find_text(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn a_longer_suffix_of_a_segment_takes_precedence() {
        for keys in [["/{0}.gz", "/{0}.tar.gz"], ["/{0}.tar.gz", "/{0}.gz"]] {
            let tree = tree(&keys);
            let (index, texts) = find(&tree, "/a.tar.gz").unwrap();
            assert_eq!(
                (keys[index], &*texts),
                ("/{0}.tar.gz", &["a".to_owned()][..])
            );
            assert_eq!(find(&tree, "/.tar.gz").unwrap().1, [".tar"]);
            assert_eq!(find(&tree, "/.gz"), None);
        }
    }

    #[test]
    fn more_parameters_than_are_stored_inline_are_found() {
        let tree = tree(&["/{0}/{1}/{2}/{3}/{4}/{5}/x", "/{0}/{1}/{2}/{3}/{4}/{*5}"]);
        let texts = |path| find(&tree, path).unwrap().1.concat();
        assert_eq!(texts("/a/b/c/d/e/f/x"), "abcdef");
        assert_eq!(texts("/a/b/c/d/e/f/y"), "abcdef/y");
    }

    #[test]
    fn a_pattern_has_one_slot() {
        let mut tree = tree(&["/a/{0}", "/a/{*0}"]);
        assert_eq!(*tree.slot("/a/{0}"), Some(0));
        assert_eq!(*tree.slot("/a/{*0}"), Some(1));
        assert_eq!(*tree.slot("/a/"), None);
    }
}
