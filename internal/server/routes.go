package server

import (
	"net/http"
	"slices"

	"doorstep/internal/auth"
)

// kind is how a request is read and answered.
type kind uint8

const (
	plain  kind = iota // a body in, a body out, within requestTimeout
	upload             // reads more, or for longer
	stream             // writes until somebody leaves
)

// route is one line of the contract.
type route struct {
	method, path string
	roles        []auth.Role // none: the path itself is the permission, or nothing is to be protected
	handle       func(*call) error
	kind         kind
	limit        int64 // of the body, when it is not maxJSON
	emptyBody    bool  // the body may be left out
	ownKeys      bool  // deals with Idempotency-Key itself
}

func (r *route) allows(role auth.Role) bool { return slices.Contains(r.roles, role) }

const (
	get   = http.MethodGet
	post  = http.MethodPost
	put   = http.MethodPut
	patch = http.MethodPatch
	del   = http.MethodDelete
)

var (
	nobody   []auth.Role
	admin    = []auth.Role{auth.RoleAdmin}
	network  = []auth.Role{auth.RoleAdmin, auth.RoleDispatcher}
	shops    = []auth.Role{auth.RoleAdmin, auth.RoleDispatcher, auth.RoleStore}
	shop     = []auth.Role{auth.RoleStore}
	seller   = []auth.Role{auth.RoleMerchant}
	sellers  = []auth.Role{auth.RoleAdmin, auth.RoleMerchant}
	senders  = []auth.Role{auth.RoleAdmin, auth.RoleDispatcher, auth.RoleMerchant}
	everyone = []auth.Role{auth.RoleAdmin, auth.RoleDispatcher, auth.RoleMerchant, auth.RoleStore}
)

// routes is the whole API, in the order of api/openapi.yaml; a test holds the two together.
var routes []route

func init() {
	routes = []route{
		{method: post, path: "/v1/stores", roles: network, handle: (*call).createStore},
		{method: get, path: "/v1/stores", roles: network, handle: (*call).listStores},
		{method: get, path: "/v1/stores/:id", roles: shops, handle: (*call).getStore},
		{method: patch, path: "/v1/stores/:id", roles: network, handle: (*call).updateStore},
		{method: del, path: "/v1/stores/:id", roles: network, handle: (*call).deleteStore},
		{method: post, path: "/v1/stores/:id/pause", roles: shops, handle: (*call).pauseStore, emptyBody: true},
		{method: post, path: "/v1/stores/:id/resume", roles: shops, handle: (*call).resumeStore, emptyBody: true},
		{method: get, path: "/v1/stores/:id/events", roles: network, handle: (*call).storeStory},
		{method: get, path: "/v1/stores/:id/stock", roles: shops, handle: (*call).getStock},
		{method: put, path: "/v1/stores/:id/stock", roles: shops, handle: (*call).putStock},
		{method: get, path: "/v1/store", roles: shop, handle: (*call).getStore},
		{method: patch, path: "/v1/store", roles: shop, handle: (*call).updateStore},
		{method: get, path: "/v1/store/stock", roles: shop, handle: (*call).getStock},
		{method: put, path: "/v1/store/stock", roles: shop, handle: (*call).putStock},
		{method: get, path: "/v1/stores/:id/prestock", roles: shops, handle: (*call).getPrestock},
		{method: put, path: "/v1/stores/:id/prestock", roles: shops, handle: (*call).putPrestock},
		{method: get, path: "/v1/store/prestock", roles: shop, handle: (*call).getPrestock},
		{method: put, path: "/v1/store/prestock", roles: shop, handle: (*call).putPrestock},
		{method: get, path: "/v1/stores/:id/reliability", roles: shops, handle: (*call).reliability},
		{method: get, path: "/v1/store/reliability", roles: shop, handle: (*call).reliability},
		{method: get, path: "/v1/stores/:id/ratings", roles: shops, handle: (*call).ratings},
		{method: get, path: "/v1/store/ratings", roles: shop, handle: (*call).ratings},
		{method: get, path: "/v1/store/inbox", roles: shop, handle: (*call).listInbox},
		{method: post, path: "/v1/store/inbox/read", roles: shop, handle: (*call).readInbox, emptyBody: true},
		{method: get, path: "/v1/store/events/stream", roles: shop, handle: (*call).streamStore, kind: stream},
		{method: get, path: "/v1/store/push-subscriptions", roles: shop, handle: (*call).listSubscriptions},
		{method: put, path: "/v1/store/push-subscriptions", roles: shop, handle: (*call).putSubscription},
		{method: del, path: "/v1/store/push-subscriptions/:id", roles: shop, handle: (*call).deleteSubscription},
		{method: get, path: "/v1/store/push-key", roles: shop, handle: (*call).pushKey},
		{method: post, path: "/v1/store-imports", roles: network, handle: (*call).importStores, kind: upload, limit: maxUpload},

		{method: post, path: "/v1/orders", roles: sellers, handle: (*call).createOrder},
		{method: get, path: "/v1/orders", roles: everyone, handle: (*call).listOrders},
		{method: get, path: "/v1/orders/:id", roles: everyone, handle: (*call).getOrder},
		{method: post, path: "/v1/orders/:id/cancel", roles: senders, handle: (*call).cancelOrder},
		{method: post, path: "/v1/orders/:id/reassign", roles: network, handle: (*call).reassignOrder, emptyBody: true},
		{method: get, path: "/v1/orders/:id/events", roles: everyone, handle: (*call).orderStory},
		{method: get, path: "/v1/orders/:id/remarks", roles: senders, handle: (*call).listRemarks},
		{method: get, path: "/v1/orders/:id/export", roles: network, handle: (*call).exportOrder},
		{method: get, path: "/v1/audit-key", roles: senders, handle: (*call).auditKey},
		{method: post, path: "/v1/orders/:id/tracking-link/revoke", roles: senders, handle: (*call).renewLink, emptyBody: true},
		{method: post, path: "/v1/orders/:id/unlock-code", roles: network, handle: (*call).unlockCode, emptyBody: true},
		{method: post, path: "/v1/orders/:id/erase", roles: sellers, handle: (*call).eraseOrder, emptyBody: true},
		{method: post, path: "/v1/order-batches", roles: sellers, handle: (*call).createOrders, kind: upload, limit: maxUpload, ownKeys: true},
		{method: post, path: "/v1/quotes", roles: senders, handle: (*call).quote},
		{method: get, path: "/v1/merchants", roles: network, handle: (*call).listMerchants},
		{method: get, path: "/v1/merchants/:id/policy", roles: network, handle: (*call).getPolicy},
		{method: put, path: "/v1/merchants/:id/policy", roles: network, handle: (*call).putPolicy},
		{method: get, path: "/v1/merchants/:id/policy/versions", roles: network, handle: (*call).listPolicies},
		{method: get, path: "/v1/merchant/policy", roles: seller, handle: (*call).getPolicy},
		{method: put, path: "/v1/merchant/policy", roles: seller, handle: (*call).putPolicy},
		{method: get, path: "/v1/merchant/policy/versions", roles: seller, handle: (*call).listPolicies},

		{method: get, path: "/v1/assignments", roles: shops, handle: (*call).listAssignments},
		{method: post, path: "/v1/assignments/:id/accept", roles: shops, handle: (*call).acceptAssignment, emptyBody: true},
		{method: post, path: "/v1/assignments/:id/decline", roles: shops, handle: (*call).declineAssignment, emptyBody: true},
		{method: post, path: "/v1/assignments/:id/release", roles: shops, handle: (*call).releaseAssignment, emptyBody: true},
		{method: post, path: "/v1/orders/:id/ready", roles: shops, handle: (*call).packed, emptyBody: true},
		{method: post, path: "/v1/orders/:id/pick-up", roles: shops, handle: (*call).pickUp, emptyBody: true},
		{method: post, path: "/v1/orders/:id/hand-back", roles: shops, handle: (*call).handBack, emptyBody: true},
		{method: post, path: "/v1/orders/:id/depart", roles: shops, handle: (*call).depart, emptyBody: true},
		{method: post, path: "/v1/orders/:id/receive", roles: shops, handle: (*call).receive, emptyBody: true},
		{method: post, path: "/v1/orders/:id/collect", roles: shops, handle: (*call).collect},
		{method: post, path: "/v1/orders/:id/return", roles: shops, handle: (*call).sendBack, emptyBody: true},
		{method: post, path: "/v1/orders/:id/returned", roles: shops, handle: (*call).returned, emptyBody: true},
		{method: post, path: "/v1/orders/:id/extend-hold", roles: everyone, handle: (*call).lengthenHold, emptyBody: true},
		{method: post, path: "/v1/orders/:id/transfer", roles: network, handle: (*call).transferOrder},
		{method: post, path: "/v1/orders/:id/lost", roles: shops, handle: (*call).lostOrder, emptyBody: true},
		{method: post, path: "/v1/scans", roles: shops, handle: (*call).recordScans},
		{method: post, path: "/v1/photos", roles: shops, handle: (*call).savePhoto, kind: upload, limit: maxPhoto},
		{method: get, path: "/v1/photos/:sha256", roles: nobody, handle: (*call).showPhoto},
		{method: post, path: "/v1/dropoff-events", roles: shops, handle: (*call).recordDropoffs},
		{method: get, path: "/v1/orders/:id/dropoffs", roles: everyone, handle: (*call).listDropoffs},

		{method: post, path: "/v1/campaigns", roles: network, handle: (*call).createCampaign},
		{method: get, path: "/v1/campaigns", roles: network, handle: (*call).listCampaigns},
		{method: get, path: "/v1/campaigns/:id", roles: network, handle: (*call).getCampaign},
		{method: post, path: "/v1/campaigns/:id/plan", roles: network, handle: (*call).planCampaign, kind: upload, emptyBody: true},
		{method: post, path: "/v1/campaigns/:id/approve", roles: network, handle: (*call).approveCampaign, emptyBody: true},
		{method: post, path: "/v1/campaigns/:id/cancel", roles: network, handle: (*call).cancelCampaign, emptyBody: true},
		{method: get, path: "/v1/campaigns/:id/progress", roles: network, handle: (*call).campaignProgress},
		{method: post, path: "/v1/demand-imports", roles: network, handle: (*call).importDemand, kind: upload, limit: maxUpload},
		{method: get, path: "/v1/replenishment-settings", roles: network, handle: (*call).getReplenishment},
		{method: put, path: "/v1/replenishment-settings", roles: network, handle: (*call).putReplenishment},
		{method: get, path: "/v1/prestock-tasks", roles: shops, handle: (*call).listTasks},
		{method: get, path: "/v1/prestock-tasks/:id", roles: shops, handle: (*call).getTask},
		{method: post, path: "/v1/prestock-tasks/:id/acknowledge", roles: shops, handle: (*call).acknowledgeTask},
		{method: post, path: "/v1/prestock-tasks/:id/decline", roles: shops, handle: (*call).declineTask},
		{method: post, path: "/v1/prestock-tasks/:id/stocked", roles: shops, handle: (*call).stockedTask},

		{method: get, path: "/t/:token", handle: (*call).trackingPage},
		{method: post, path: "/t/:token/retrieved", handle: (*call).retrievedForm},
		{method: post, path: "/t/:token/instructions", handle: (*call).instructionsForm},
		{method: post, path: "/t/:token/extend-hold", handle: (*call).extendHoldForm},
		{method: post, path: "/t/:token/dispute", handle: (*call).disputeForm},
		{method: post, path: "/t/:token/withdraw-dispute", handle: (*call).withdrawForm},
		{method: post, path: "/t/:token/rating", handle: (*call).rateForm},
		{method: post, path: "/t/:token/messages", handle: (*call).messageForm},
		{method: get, path: "/v1/tracking/:token", handle: (*call).tracking},
		{method: get, path: "/v1/tracking/:token/events", handle: (*call).trackingEvents, kind: stream},
		{method: post, path: "/v1/tracking/:token/retrieved", handle: (*call).confirmRetrieved, emptyBody: true},
		{method: post, path: "/v1/tracking/:token/instructions", handle: (*call).setInstructions},
		{method: post, path: "/v1/tracking/:token/extend-hold", handle: (*call).extendHold, emptyBody: true},
		{method: post, path: "/v1/tracking/:token/dispute", handle: (*call).dispute},
		{method: post, path: "/v1/tracking/:token/withdraw-dispute", handle: (*call).withdrawDispute, emptyBody: true},
		{method: post, path: "/v1/tracking/:token/rating", handle: (*call).rate},
		{method: post, path: "/v1/tracking/:token/messages", handle: (*call).message},

		{method: get, path: "/v1/events", roles: network, handle: (*call).listEvents},
		{method: get, path: "/v1/events/stream", roles: network, handle: (*call).streamEvents, kind: stream},
		{method: get, path: "/v1/acts", roles: network, handle: (*call).listActs},
		{method: get, path: "/v1/exceptions", roles: network, handle: (*call).listExceptions},
		{method: post, path: "/v1/exceptions/:id/close", roles: network, handle: (*call).closeException, emptyBody: true},
		{method: get, path: "/v1/warnings", roles: network, handle: (*call).listWarnings},
		{method: post, path: "/v1/searches", roles: senders, handle: (*call).search, ownKeys: true},
		{method: get, path: "/v1/incidents", roles: network, handle: (*call).listIncidents},
		{method: get, path: "/v1/incidents/:id", roles: network, handle: (*call).getIncident},
		{method: post, path: "/v1/incidents/:id/resolve", roles: network, handle: (*call).resolveIncident},
		{method: get, path: "/v1/cells", roles: network, handle: (*call).cells},
		{method: get, path: "/v1/map-points", roles: network, handle: (*call).mapPoints},
		{method: get, path: "/v1/jobs", roles: network, handle: (*call).listJobs},
		{method: post, path: "/v1/jobs/:name/run", roles: admin, handle: (*call).runJob, kind: upload, emptyBody: true},

		{method: post, path: "/v1/keys", roles: admin, handle: (*call).createKey},
		{method: get, path: "/v1/keys", roles: admin, handle: (*call).listKeys},
		{method: post, path: "/v1/keys/:id/revoke", roles: admin, handle: (*call).revokeKey, emptyBody: true},
		{method: get, path: "/v1/me", roles: everyone, handle: (*call).me},
		{method: post, path: "/v1/me/password", roles: network, handle: (*call).changePassword},
		{method: post, path: "/v1/accounts", roles: admin, handle: (*call).createAccount},
		{method: get, path: "/v1/accounts", roles: admin, handle: (*call).listAccounts},
		{method: get, path: "/v1/accounts/:id", roles: admin, handle: (*call).getAccount},
		{method: post, path: "/v1/accounts/:id/invite", roles: admin, handle: (*call).inviteAccount, emptyBody: true},
		{method: post, path: "/v1/accounts/:id/role", roles: admin, handle: (*call).setAccountRole},
		{method: post, path: "/v1/accounts/:id/disable", roles: admin, handle: (*call).disableAccount, emptyBody: true},
		{method: post, path: "/v1/accounts/:id/enable", roles: admin, handle: (*call).enableAccount, emptyBody: true},
		{method: post, path: "/v1/accounts/:id/sign-out", roles: admin, handle: (*call).signOutAccount, emptyBody: true},
		{method: get, path: "/v1/sessions", roles: network, handle: (*call).listSessions},
		{method: post, path: "/v1/sessions/:id/revoke", roles: network, handle: (*call).revokeSession, emptyBody: true},
		{method: post, path: "/v1/stores/:id/pairing-codes", roles: network, handle: (*call).createPairingCode, emptyBody: true},
		{method: post, path: "/v1/pairings", handle: (*call).pair, ownKeys: true},
		{method: get, path: "/v1/stores/:id/devices", roles: shops, handle: (*call).listDevices},
		{method: post, path: "/v1/devices/:id/revoke", roles: shops, handle: (*call).revokeDevice, emptyBody: true},

		{method: get, path: "/healthz", handle: (*call).healthz},
		{method: get, path: "/readyz", handle: (*call).readiness},
		{method: get, path: "/openapi.yaml", handle: (*call).contract},
		{method: get, path: "/", handle: (*call).home},
		{method: get, path: "/static/:name", handle: (*call).static},
		{method: get, path: "/store", handle: (*call).toFace},
		{method: get, path: "/store/*", handle: (*call).storeApp},
		{method: get, path: "/dispatch", handle: (*call).toFace},
		{method: get, path: "/dispatch/*", handle: (*call).console},
		{method: get, path: "/docs", handle: (*call).toFace},
		{method: get, path: "/docs/*", handle: (*call).help},
		{method: get, path: "/signin", handle: (*call).signInPage},
		{method: post, path: "/signin", handle: (*call).signIn},
		{method: post, path: "/signout", handle: (*call).signOut},
		{method: get, path: "/setup/:token", handle: (*call).setUpPage},
		{method: post, path: "/setup/:token", handle: (*call).setUp},
		{method: get, path: "/account", handle: (*call).accountPage},
		{method: get, path: "/.well-known/change-password", handle: (*call).toAccount},
		{method: post, path: "/account/password", handle: (*call).passwordForm},
		{method: post, path: "/account/sessions/:id/end", handle: (*call).endSessionForm},
		{method: post, path: "/account/sessions/end-others", handle: (*call).endOthersForm},
		{method: post, path: "/account/people", handle: (*call).inviteForm},
		{method: post, path: "/account/people/:id", handle: (*call).personForm},
	}
}
