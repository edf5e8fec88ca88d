//! What several nodes answered, and which did not.

/// What the nodes of a cluster answered to a question. One that did not answer in time takes nothing from what the others said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers<T> {
    /// What came in time.
    pub answers: Vec<T>,
    /// The nodes that did not answer in time, by their names.
    pub missing: Vec<String>,
}

impl<T> Answers<T> {
    /// The answers of all nodes.
    pub fn complete(answers: Vec<T>) -> Self {
        Self { answers, missing: Vec::new() }
    }

    /// Whether all nodes answered.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// How many answers there are.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether there is no answer.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// The answers.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.answers.iter()
    }

    /// Makes something else of each answer.
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Answers<U> {
        Answers { answers: self.answers.into_iter().map(each).collect(), missing: self.missing }
    }
}

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self::complete(Vec::new())
    }
}

impl<T> IntoIterator for Answers<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.answers.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Answers<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
