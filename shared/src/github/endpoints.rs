//! Every kind of request that is made to GitHub. What does not stand here is not sent, so that a test which holds these
//! against GitHub's own description of its API has held all of them.

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub method: &'static str,
    /// From the API's root, with names for its changing parts, as GitHub's description has it.
    pub path: &'static str,
    /// The names that its query may have.
    pub query: &'static [&'static str],
}

const fn get(path: &'static str) -> Endpoint {
    list(path, &[])
}

const fn list(path: &'static str, query: &'static [&'static str]) -> Endpoint {
    Endpoint { method: "GET", path, query }
}

const fn post(path: &'static str) -> Endpoint {
    Endpoint { method: "POST", path, query: &[] }
}

const fn patch(path: &'static str) -> Endpoint {
    Endpoint { method: "PATCH", path, query: &[] }
}

const fn delete(path: &'static str) -> Endpoint {
    Endpoint { method: "DELETE", path, query: &[] }
}

pub const ENDPOINTS: &[Endpoint] = &[
    // Who we are, and where an app is installed.
    get("/user"),
    get("/app"),
    get("/repos/{owner}/{repo}/installation"),
    post("/app/installations/{installation_id}/access_tokens"),
    // The repository, also by the address that a renamed one is found at.
    get("/repos/{owner}/{repo}"),
    get("/repositories/{repository_id}"),
    get("/repos/{owner}/{repo}/collaborators/{username}/permission"),
    // What an owner has, for whoever polls by a pattern.
    get("/users/{username}"),
    get("/users/{username}/installation"),
    get("/orgs/{org}/installation"),
    list("/installation/repositories", &["per_page", "page"]),
    list("/orgs/{org}/repos", &["type", "sort", "per_page", "page"]),
    list("/user/repos", &["affiliation", "sort", "per_page", "page"]),
    list("/users/{username}/repos", &["type", "sort", "per_page", "page"]),
    // What has changed, for whoever polls.
    list("/repos/{owner}/{repo}/issues", &["state", "sort", "direction", "since", "per_page", "page"]),
    list("/repos/{owner}/{repo}/issues/comments", &["sort", "direction", "since", "per_page", "page"]),
    list("/repos/{owner}/{repo}/issues/{issue_number}/events", &["per_page", "page"]),
    // The issue and its status comment.
    get("/repos/{owner}/{repo}/issues/{issue_number}"),
    list("/repos/{owner}/{repo}/issues/{issue_number}/comments", &["per_page", "page"]),
    post("/repos/{owner}/{repo}/issues/{issue_number}/comments"),
    patch("/repos/{owner}/{repo}/issues/comments/{comment_id}"),
    delete("/repos/{owner}/{repo}/issues/comments/{comment_id}"),
    // The pull request.
    list("/repos/{owner}/{repo}/pulls", &["state", "head", "per_page"]),
    post("/repos/{owner}/{repo}/pulls"),
    patch("/repos/{owner}/{repo}/pulls/{pull_number}"),
    post("/repos/{owner}/{repo}/issues/{issue_number}/labels"),
    post("/repos/{owner}/{repo}/issues/{issue_number}/assignees"),
    post("/repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers"),
    // Webhooks, when they are set up.
    list("/repos/{owner}/{repo}/hooks", &["per_page"]),
    post("/repos/{owner}/{repo}/hooks"),
    patch("/repos/{owner}/{repo}/hooks/{hook_id}"),
    delete("/repos/{owner}/{repo}/hooks/{hook_id}"),
    list("/repos/{owner}/{repo}/hooks/{hook_id}/deliveries", &["per_page"]),
    post("/repos/{owner}/{repo}/hooks/{hook_id}/pings"),
    // Sent with nothing in them, to learn whether the token may.
    post("/repos/{owner}/{repo}/issues"),
    post("/repos/{owner}/{repo}/git/refs"),
    // What REST does not have: [`Query`].
    post("/graphql"),
];

impl Endpoint {
    /// The one that a request for `path` with the names of `query` is of.
    pub fn of(method: &str, path: &str, query: &str) -> Option<&'static Self> {
        let of_path = ENDPOINTS.iter().filter(|known| known.method == method && known.is_at(path));
        // `/issues/comments` is an issue's number to `/issues/{issue_number}`: the fewest names win.
        let known = of_path.min_by_key(|known| known.path.matches('{').count())?;
        let names =
            query.split('&').filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty());
        names.into_iter().all(|name| known.query.contains(&name)).then_some(known)
    }

    fn is_at(&self, path: &str) -> bool {
        let (mut wanted, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(name), Some(part)) if name.starts_with('{') && !part.is_empty() || name == part => {}
                _ => return false,
            }
        }
    }
}

/// What GraphQL is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// When an issue's text was last edited. Variables: `owner`, `name`, `number`.
    LastEdit,
    /// Makes a draft ready for review. Variables: `id`, the pull request's node.
    MakeReady,
}

impl Query {
    pub const ALL: [Self; 2] = [Self::LastEdit, Self::MakeReady];

    pub fn text(self) -> &'static str {
        match self {
            Self::LastEdit => {
                "query($owner: String!, $name: String!, $number: Int!) { repository(owner: $owner, name: $name) { \
                 issue(number: $number) { lastEditedAt } } }"
            }
            Self::MakeReady => {
                "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { \
                 pullRequest { isDraft } } }"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_of_the_endpoint_with_the_fewest_names_and_only_with_its_query() {
        let path = |path: &str, query: &str| Endpoint::of("GET", path, query).map(|known| known.path);
        let comments = "/repos/{owner}/{repo}/issues/comments";
        assert_eq!(path("/repos/o/n/issues/comments", "since=1&page=2"), Some(comments));
        let issue = "/repos/{owner}/{repo}/issues/{issue_number}";
        assert_eq!(path("/repos/o/n/issues/7", ""), Some(issue));
        for (unknown, query) in [
            ("/repos/o/n/issues/7", "page=1"),
            ("/repos/o/n/issues/comments", "state=all"),
            ("/repos/o/n/issues/7/timeline", ""),
            ("/repos//n", ""),
            ("/repos/o/n/", ""),
            ("/", ""),
        ] {
            assert_eq!(path(unknown, query), None, "{unknown}");
        }
        assert_eq!(Endpoint::of("PUT", "/user", ""), None);
    }
}
