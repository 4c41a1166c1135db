// Names the release of SPIRE that the tests build; go.sum pins its sources, whose own go.sum pins the rest.
module writ.test/spire

go 1.25.3

require github.com/spiffe/spire v1.13.3
